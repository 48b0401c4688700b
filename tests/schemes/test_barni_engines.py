"""Barni's engines: what they compute, what they send, and what they refuse."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppbench.bundle import Array
from ppbench.errors import ConfigError, ProtocolError
from ppbench.he import seal
from ppbench.he.seal import Seal
from ppbench.he.wire import residues_of
from ppbench.models.lenet import architecture
from ppbench.models.network import Conv2d, Flatten, Linear, Network, ReLU
from ppbench.scheme import TaskFacts
from schemes.barni import Barni, ckks_parameters, half_bytes
from schemes.barni.ckks_parameters import LEAST_FLOODING_BITS, Parameters
from schemes.barni.engine import Client, Key, Server
from schemes.barni.plan import Plan, split
from tests.helpers.networks import networks, samples_for

pytest.importorskip("tenseal")
pytest.importorskip("phe")

CKKS, PAILLIER = Barni(), Barni(engine="paillier")
FLOODED = Barni(poly_modulus_degree=4096, modulus_bits=60, special_modulus_bits=46)
"""conf/scheme/barni_flooded.yaml."""
ENGINES = (CKKS, PAILLIER)
KINDS = {"ckks": CKKS, "flooded": FLOODED, "paillier": PAILLIER}
WIDER = {"ckks": 1 + 6 * 0.67, "paillier": 0.0}
"""Of an output, beyond the rounding of what goes in: in units of its last bit, six deviations and one bit."""


def facts(batch_size: int = 4) -> TaskFacts:
    return TaskFacts("small", (6, 6), 1.0, 3, batch_size, 1, 0)


def small_network() -> Network:
    """6x6 pixels, two linear layers, 3 logits."""
    random = np.random.default_rng(0)
    convolution = Conv2d.initial(1, 2, 5, random)
    return Network((1, 6, 6), (convolution, ReLU(), Flatten(), Linear.initial(8, 3, random)))


@dataclasses.dataclass
class Pair:
    """A client and a server that has its key."""

    plan: Plan
    client: Client
    server: Server
    key: Key

    @classmethod
    def of(cls, scheme: Barni, network: Network, batch_size: int = 4) -> Pair:
        plan, layers = split(network)
        engine, task = scheme.module, facts(batch_size)
        engine.check(scheme, layers)
        client, server = engine.Client(scheme, plan, task), engine.Server(scheme, layers, task)
        return cls(plan, client, server, server.load(client.public_key()))

    def request(self, network: Network, n: int = 1) -> list[Array]:
        """For the first linear layer."""
        return self.client.encrypt(0, self.plan.first(samples_for(network, n)))

    def evaluate(self, n: int, arrays: Sequence[Array], layer: int = 0) -> list[Array]:
        return self.server.evaluate(self.key, layer, n, arrays)

    def ask(self, layer: int, values: Array) -> Array:
        n = len(values)
        return self.client.decrypt(layer, n, self.evaluate(n, self.client.encrypt(layer, values), layer))


def assert_exact(scheme: Barni, network: Network, n: int, batch_size: int) -> None:
    """Every layer, on every sample, is off by no more than its rounding."""
    _, layers = split(network)
    pair = Pair.of(scheme, network, batch_size)
    values = pair.plan.first(samples_for(network, n))
    for index, (exchange, layer) in enumerate(zip(pair.plan.exchanges, layers, strict=True)):
        clear, decrypted = layer(values), pair.ask(index, values)
        assert decrypted.shape == clear.shape
        weights = np.abs(layer.weight).sum(axis=(1, 2, 3)).max()
        largest_sum = np.abs(values).sum(axis=1).max()
        last_bit, last_weight_bit = 2.0**-scheme.activation_bits, 2.0**-scheme.weight_bits
        tolerance = last_bit * (WIDER[scheme.engine] + weights / 2) + last_weight_bit / 2 * largest_sum
        np.testing.assert_allclose(decrypted, clear, rtol=1e-5, atol=tolerance)
        values = exchange.then(decrypted)


@settings(max_examples=40)
@given(network=networks(), n=st.integers(1, 9), batch_size=st.sampled_from([9, 64]))
def test_ckks_computes_the_network(network: Network, n: int, batch_size: int) -> None:
    assert_exact(Barni(activation_bits=10), network, n, batch_size)


@pytest.mark.parametrize("degree", [2048, 4096])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_ckks_computes_lenet(degree: int, batch_size: int) -> None:
    assert_exact(Barni(poly_modulus_degree=degree), architecture(10, np.random.default_rng(0)), batch_size, batch_size)


def test_a_batch_costs_what_it_has_and_not_what_was_allowed() -> None:
    network = small_network()
    allowed = Pair.of(Barni(), network, batch_size=256)
    for n in (1, 10, 100):
        own, request = Pair.of(Barni(), network, batch_size=n), allowed.request(network, n)
        assert sum(array.nbytes for array in request) == sum(array.nbytes for array in own.request(network, n))
        answers = (pair.evaluate(n, request) for pair in (allowed, own))
        assert len({sum(array.nbytes for array in answer) for answer in answers}) == 1
    assert sum(array.nbytes for array in allowed.request(network, 10)) < 10e3


@pytest.mark.parametrize("scheme", [PAILLIER, FLOODED], ids=["paillier", "flooded"])
def test_a_network_is_computed(scheme: Barni) -> None:
    assert_exact(scheme, small_network(), n=2, batch_size=4)


@pytest.mark.parametrize("scheme", ENGINES, ids=lambda scheme: scheme.engine)
def test_weights_of_0_and_outputs_near_the_limit(scheme: Barni) -> None:
    nothing, limit = np.zeros((3, 4), np.float32), 0.999 * min(scheme.module.largest_output(scheme), 1e9)
    bias = np.array([limit, -limit, 0], np.float32)
    pair = Pair.of(scheme, Network((4,), (Linear(nothing, bias),)))
    for values in (np.zeros((1, 4)), np.full((1, 4), 5e3)):
        np.testing.assert_allclose(pair.ask(0, values)[0], bias, rtol=1e-6, atol=0.05)


def test_beyond_the_limit_outputs_wrap() -> None:
    bias = np.array([2.0**CKKS.range_bits + 1], np.float32)
    pair = Pair.of(CKKS, Network((4,), (Linear(np.zeros((1, 4), np.float32), bias),)))
    np.testing.assert_allclose(pair.ask(0, np.zeros((1, 4))), 1 - 2**CKKS.range_bits, atol=0.05)


# What is sent.


def test_answers_hold_outputs_and_no_other_sum() -> None:
    network = small_network()
    pair = Pair.of(CKKS, network)
    parameters = Parameters.of(CKKS)
    for n in (1, 3):
        _, first_components = pair.evaluate(n, pair.request(network, n))
        n_outputs = pair.plan.exchanges[0].linear.n_outputs
        assert first_components.shape == (half_bytes.packed_size(n * n_outputs, parameters.output_bits),)
        assert n * n_outputs < parameters.poly_modulus_degree / 10


def in_common(pair: Pair, network: Network) -> list[tuple[float, int]]:
    """The share of bits that two answers to the same question have in common, of how many, for each of their arrays."""
    request = pair.request(network)
    answers = [pair.evaluate(1, request) for _ in range(2)]
    one, other = (pair.client.decrypt(0, 1, answer) for answer in answers)
    np.testing.assert_allclose(one, other, atol=2.0**-CKKS.activation_bits * 12)
    differing = [np.unpackbits(np.bitwise_xor(*arrays)) for arrays in zip(*answers, strict=True)]
    return [(1 - float(bits.mean()), bits.size) for bits in differing]


@pytest.mark.parametrize("scheme", KINDS.values(), ids=KINDS)
def test_an_answer_is_blinded(scheme: Barni) -> None:
    network = small_network()
    for share, n_bits in in_common(Pair.of(scheme, network), network):
        # Six standard deviations of as many coins; what is not blinded has all in common.
        assert n_bits >= 100
        assert abs(share - 0.5) < 6 * 0.5 / math.sqrt(n_bits)


class Lazy:
    """A public key that blinds every answer alike."""

    def __init__(self, key: Key, context: Seal) -> None:
        import tenseal.sealapi as sealapi

        zero = sealapi.Ciphertext()
        key.encrypt_zero(zero)
        self._context, self._zero = context, seal.save(zero)

    def encrypt_zero(self, ciphertext: Seal) -> None:
        seal.load(ciphertext, self._context, self._zero)


def test_a_coordinator_that_does_not_blind_is_noticed() -> None:
    network = small_network()
    pair = Pair.of(CKKS, network)
    pair.key = Lazy(pair.key, pair.server._ring.context)  # type: ignore[attr-defined]
    (second_components, _), _ = in_common(pair, network)
    assert second_components == 1


@pytest.mark.parametrize(("scheme", "bits"), [(CKKS, 29), (FLOODED, 40)], ids=["default", "flooded"])
def test_noise_is_as_large_as_is_computed_and_drowned(scheme: Barni, bits: int) -> None:
    import tenseal.sealapi as sealapi

    parameters, pair = Parameters.of(scheme), Pair.of(scheme, small_network())
    assert parameters.flooding_bits == bits
    assert f"2^-{bits}" in Barni.card.guarantee
    ring, client = pair.server._ring, pair.client  # type: ignore[attr-defined]
    noise = []
    for _ in range(5):
        pair.key.encrypt_zero(zero := sealapi.Ciphertext(ring.context))
        (first,), (second,) = residues_of(zero)
        (product,) = client._times_secret(second[np.newaxis])  # type: ignore[attr-defined]
        noise.append(ring.centred(ring.sum(first, product)))
    assert np.abs(noise).mean() == pytest.approx(parameters.blinding_noise, rel=0.1)


def test_the_same_job_moves_the_same_bytes() -> None:
    network = small_network()
    sizes = set()
    for scheme in (CKKS, CKKS):
        pair = Pair.of(scheme, network)
        request = pair.request(network, 2)
        answer = pair.evaluate(2, request)
        sizes.add(tuple(array.nbytes for array in (*pair.client.public_key(), *request, *answer)))
    assert len(sizes) == 1


# What is refused.


@pytest.mark.parametrize("scheme", KINDS.values(), ids=KINDS)
def test_garbage_is_a_protocol_error(scheme: Barni) -> None:
    network = small_network()
    pair = Pair.of(scheme, network)
    request = pair.request(network)
    answer, public_key = pair.evaluate(1, request), pair.client.public_key()
    for whole, take in (
        (request, lambda arrays: pair.evaluate(1, arrays)),
        (answer, lambda arrays: pair.client.decrypt(0, 1, arrays)),
        (public_key, pair.server.load),
    ):
        for garbage in (
            [],
            [*whole, whole[0]],
            [whole[0][:-1], *whole[1:]],
            [whole[0].astype(np.int16), *whole[1:]],
            [whole[0][np.newaxis], *whole[1:]],
            [*whole[:-1], whole[-1][:-1]],
        ):
            with pytest.raises(ProtocolError, match="ciphertexts come as bytes of shapes"):
                take(garbage)
    with pytest.raises(ProtocolError):
        pair.evaluate(4000, request)


def test_bytes_of_the_right_number_are_a_ciphertext_of_anything() -> None:
    network = small_network()
    pair = Pair.of(CKKS, network)
    request = [np.full_like(array, 255) for array in pair.request(network)]
    answer = [np.full_like(array, 255) for array in pair.evaluate(1, request)]
    assert np.abs(pair.client.decrypt(0, 1, answer)).max() <= 2**CKKS.range_bits
    pair.server.load([np.full_like(array, 255) for array in pair.client.public_key()])


def test_paillier_refuses_what_is_no_ciphertext() -> None:
    network = small_network()
    pair = Pair.of(PAILLIER, network)
    (request,) = pair.request(network)
    for value in (0, 255):
        broken = request.copy()
        broken[7] = value
        with pytest.raises(ProtocolError, match="not invertible"):
            pair.evaluate(1, [broken])
    (answer,) = pair.evaluate(1, [request])
    answer = answer.copy()
    answer[0, -1] ^= 1
    with pytest.raises(ProtocolError, match="was not computed from what was encrypted"):
        pair.client.decrypt(0, 1, [answer])
    (public_key,) = pair.client.public_key()
    for place, bit in ((0, 128), (-1, 1)):
        broken = public_key.copy()
        broken[place] ^= bit
        with pytest.raises(ProtocolError, match="public key of 2048 bits"):
            pair.server.load([broken])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"poly_modulus_degree": 1024}, r"are 53 bits.*poly_modulus_degree=1024 they must be at most 26"),
        ({"poly_modulus_degree": 1024, "modulus_bits": 26}, r"leaves 2\^3 times .* smaller or .* larger by 17"),
        ({"poly_modulus_degree": 2000}, "poly_modulus_degree=2000 must be one of 1024, 2048"),
        ({"modulus_bits": 54}, r"are 54 bits.*must be at most 53"),
        ({"special_modulus_bits": -1}, "scheme.special_modulus_bits=-1 must be from 0 to 60"),
        ({"special_modulus_bits": 46}, r"\[53, 46\] are 99 bits.*must be at most 53"),
        ({"poly_modulus_degree": 4096, "modulus_bits": 61}, "modulus_bits=61 must be from 15 to 60"),
        ({"modulus_bits": 42}, rf"to drown it in; 2\^{LEAST_FLOODING_BITS} times is needed: make .* by 2"),
        ({"activation_bits": 0}, "scheme.activation_bits=0 must be at least 1"),
        ({"weight_bits": 0}, "scheme.weight_bits=0 must be at least 1"),
        ({"range_bits": 0}, "scheme.range_bits=0 must be at least 1"),
        ({"range_bits": 12}, r"scheme.activation_bits = 32 must be at most 31"),
        ({"weight_bits": 16, "activation_bits": 1}, "has a weight of 2e\\+04; .*room up to 1.64e\\+04"),
        ({"engine": "paillier", "key_bits": 1024}, "scheme.key_bits=1024 must be from 2048 to 8192"),
        ({"engine": "paillier", "key_bits": 2049}, "scheme.key_bits=2049 must be a multiple of 8"),
        ({"engine": "paillier", "weight_bits": 60}, "scheme.weight_bits=60 must be from 1 to 52"),
        ({"engine": "seal"}, "scheme.engine='seal' is not one of ckks, paillier"),
    ],
)
def test_bad_parameters_are_named_before_a_key_is_made(
    options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_key(*_: object, **__: object) -> None:
        raise AssertionError("a key is made")

    monkeypatch.setattr(ckks_parameters, "make_context", no_key)
    monkeypatch.setattr("phe.generate_paillier_keypair", no_key)
    _, layers = split(Network((2,), (Linear(np.array([[1, 2e4]], np.float32), np.zeros(1, np.float32)),)))
    with pytest.raises(ConfigError, match=message):
        (scheme := Barni(**options)).module.check(scheme, layers)


def test_a_map_that_does_not_fit_is_refused() -> None:
    random = np.random.default_rng(0)
    network = Network((1, 60, 60), (Conv2d.initial(1, 1, 5, random), Flatten(), Linear.initial(3136, 3, random)))
    _, layers = split(network)
    with pytest.raises(ConfigError, match=r"linear layer 0 takes 3600 coefficients: .* must be at least 4096"):
        CKKS.module.check(CKKS, layers)
    larger = Barni(poly_modulus_degree=4096)
    larger.module.check(larger, layers)


@pytest.mark.parametrize("scheme", ENGINES, ids=lambda scheme: scheme.engine)
def test_a_client_and_a_server_do_without_torch_and_each_others_library(scheme: Barni) -> None:
    foreign = {"ckks": "phe", "paillier": "tenseal"}[scheme.engine]
    code = (
        "import sys, numpy as np\n"
        "from ppbench.models.network import Linear, Network\n"
        "from ppbench.scheme import TaskFacts\n"
        "from schemes.barni import Barni\n"
        "from schemes.barni.plan import split\n"
        f"scheme, task = Barni(engine='{scheme.engine}'), TaskFacts('x', (2,), 1.0, 2, 1, 1, 0)\n"
        "plan, layers = split(Network((2,), (Linear(np.eye(2, dtype='f4'), np.ones(2, 'f4')),)))\n"
        "client = scheme.module.Client(scheme, plan, task)\n"
        "server = scheme.module.Server(scheme, layers, task)\n"
        "key = server.load(client.public_key())\n"
        "outputs = client.decrypt(0, 1, server.evaluate(key, 0, 1, client.encrypt(0, np.ones((1, 2), 'f4'))))\n"
        "assert np.abs(outputs - 2).max() < 0.1\n"
        f"assert not {{'torch', '{foreign}'}} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
