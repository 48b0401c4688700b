"""CryptoNets, a pixel of many images a ciphertext: exact residues, what is computed and sent, and what is refused."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppbench.bundle import Array
from ppbench.data.digits import Digits
from ppbench.data.mnist import Mnist
from ppbench.errors import ConfigError, DataError, ProtocolError
from ppbench.he import seal, wire
from ppbench.measure import experiment
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.models.network import AvgPool2d, Conv2d, Flatten, Linear, Network, ReLU, Square
from ppbench.models.square import CryptoNetsModel
from ppbench.report.summary import summary
from ppbench.scheme import TaskFacts
from schemes.cryptonets import CryptoNets, throughput_parameters
from schemes.cryptonets.affine import Affine, affine_maps
from schemes.cryptonets.residues import MAX_ROW_NORM, BlockedMatrix, Squarer, row_norm, to_unsigned
from schemes.cryptonets.throughput_layers import FirstLayers
from tests.helpers.watched_cryptonets import decrypts, secret_key

pytest.importorskip("tenseal")

KINDS = {
    "sealapi": CryptoNets(packing="throughput"),
    "without keys": CryptoNets(packing="throughput", evaluation_keys=False),
    "tenseal": CryptoNets(packing="throughput", engine="tenseal"),
}
ON_SEAL = ("sealapi", "without keys")
LARGEST_ERROR = {"sealapi": 0.01, "without keys": 0.03, "tenseal": 0.05}
"""Of a logit, over the largest logit. TenSEAL takes each prime for the scale, which is off by up to 0.5 %."""
FACTS = TaskFacts("small", (6, 6), 1.0, 3, 20, 1, 0)
PRIMES = st.sampled_from([4294475777, 4293918721, 16760833, 8380417, 12289])


def small_network(seed: int = 0) -> Network:
    """6x6 pixels -> 3 logits of up to 20 or so."""
    random = np.random.default_rng(seed)

    def weights(*shape: int) -> Array:
        return random.normal(0, 0.4, shape).astype(np.float32)

    layers = (
        Conv2d(weights(2, 1, 3, 3), weights(2), stride=2, padding=1),
        Square(),
        Flatten(),
        Linear(weights(5, 18), weights(5)),
        Square(),
        Linear(weights(3, 5), weights(3)),
    )
    return Network((1, 6, 6), layers)


def images(n: int) -> Array:
    return np.random.default_rng(1).random((n, 36), np.float32)


def pair(scheme: CryptoNets, network: Network) -> tuple[Any, Any]:
    packing = scheme.module
    client, server = packing.Client(scheme, FACTS), packing.Server(scheme, network)
    server.load(client.public_material())
    return client, server


def exact(array: Array) -> Array:
    """The same numbers as Python's integers, which never overflow."""
    return np.asarray(np.frompyfunc(int, 1, 1)(array))


# Exactness, against Python's integers.


@st.composite
def matrices(draw: st.DrawFn) -> Array:
    """Sparse integer matrices up to the largest row norm allowed, more rows than a block has."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows, columns = draw(st.integers(1, 150)), draw(st.integers(1, 40))
    bound = int(MAX_ROW_NORM) // columns
    matrix = random.integers(-bound, bound, (rows, columns), endpoint=True).astype(float)
    matrix[random.random(matrix.shape) < draw(st.sampled_from([0, 0.5, 0.95]))] = 0
    return matrix


@given(matrices(), st.integers(0, 2**32))
def test_products_are_exact(matrix: Array, seed: int) -> None:
    values = np.random.default_rng(seed).integers(2**32 - 100, 2**32, (matrix.shape[1], 7)).astype(float)
    blocked = BlockedMatrix(matrix)
    found = np.empty((len(matrix), 7))
    for rows, product in blocked.products(values):
        found[rows] = product
    expected = exact(matrix) @ exact(values)
    assert (exact(found) == expected[blocked.order]).all()


def test_products_at_the_very_bound_are_exact() -> None:
    matrix = np.full((1, 16), MAX_ROW_NORM / 16)
    assert row_norm(matrix) == MAX_ROW_NORM
    values = np.full((16, 1), 2.0**32 - 1)
    ((_, product),) = BlockedMatrix(matrix).products(values)
    assert int(product[0, 0]) == 2**20 * (2**32 - 1)


@given(PRIMES, st.integers(0, 2**32), st.integers(1, 3))
def test_squares_are_exact(prime: int, seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    sums = random.integers(-(2**52), 2**52, (n, 2, 9)).astype(float)
    sums[..., :4] = prime * random.integers(-1000, 1000, (n, 2, 4)) + np.array([0, 1, -1, prime // 2])
    first, second = exact(sums[:, 0]), exact(sums[:, 1])
    squares = np.empty((n, 3, 9))
    Squarer(3, 9)(sums, prime, squares)
    assert np.abs(squares).max() <= prime * (1 + 2.0**-20)
    expected = np.stack([first * first, 2 * first * second, second * second], axis=1)
    assert ((exact(squares) - expected) % prime == 0).all()


@given(PRIMES, st.integers(0, 2**32))
def test_unsigned_residues_are_exact(prime: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(-(2**52), 2**52, 20).astype(float)
    values[:4] = [0, prime, -prime, prime // 2]
    expected = exact(values) % prime
    residues = to_unsigned(values, prime)
    assert residues.dtype == np.uint64
    assert (exact(residues) == expected).all()


@given(st.integers(0, 2**32), st.sampled_from([1, 2, 3, 4]))
def test_packed_residues_come_back(seed: int, n_bytes: int) -> None:
    residues = np.random.default_rng(seed).integers(0, 256**n_bytes, (2, 8), np.uint64)
    packed = wire.pack(residues, n_bytes)
    assert packed.shape == (2, 8, n_bytes)
    unpacked = np.empty((2, 8))
    wire.unpack(packed, unpacked)
    assert (unpacked == residues).all()


@given(st.integers(0, 2**32))
def test_the_first_layers_are_exact(seed: int) -> None:
    random, primes, degree, scale = np.random.default_rng(seed), (4293918721, 16760833), 4, 2.0**29
    first = Affine(random.integers(-2000, 2000, (70, 6)).astype(float), random.normal(0, 3, 70))
    second = Affine(random.integers(-1000, 1000, (3, 70)).astype(float), np.zeros(3))
    pixels = np.stack([random.integers(0, prime, (6, 2, degree), np.uint64) for prime in primes], axis=2)
    packed = [wire.pack(pixels[:, 0, index], wire.n_bytes_of(prime)) for index, prime in enumerate(primes)]
    found = FirstLayers(first, second, scale)(packed, pixels[:, 1], primes)
    matrix, bias = exact(first.matrix), exact(np.rint(first.bias * scale))
    for index, prime in enumerate(primes):
        c0 = matrix @ exact(pixels[:, 0, index]) + bias[:, np.newaxis]
        c1 = matrix @ exact(pixels[:, 1, index])
        squares = np.stack([c0 * c0, 2 * c0 * c1, c1 * c1], axis=1)
        expected = np.tensordot(exact(second.matrix), squares, axes=1) % prime
        assert (exact(found[:, :, index]) == expected).all()


# The network and the wire.


def test_affine_maps_are_the_network() -> None:
    random = np.random.default_rng(0)
    pooled = (
        Conv2d.initial(1, 2, 3, random, padding=1),
        Square(),
        AvgPool2d(2),
        Conv2d.initial(2, 3, 2, random),
        Flatten(),
        Square(),
        Linear.initial(12, 4, random),
    )
    network, samples = Network((1, 6, 6), pooled), images(5)
    values = samples.T.astype(float)
    first, second, third = affine_maps(network, 2)
    for affine in (first, second):
        values = (affine.matrix @ values + affine.bias[:, np.newaxis]) ** 2
    logits = third.matrix @ values + third.bias[:, np.newaxis]
    np.testing.assert_allclose(logits.T, network(samples), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ON_SEAL)
def test_a_ciphertext_in_parts_is_the_ciphertext(kind: str) -> None:
    scheme = KINDS[kind]
    client, server = pair(scheme, small_network())
    values = np.linspace(0, 1, client._parameters.n_slots)
    residues, seed = wire.seeded_parts(client._encrypted(values))
    second = server._assembler.expand(np.frombuffer(seed, np.uint8))
    ciphertext = server._assembler.ciphertext(np.stack([residues, second]), 2.0 ** client._parameters.scale_bits[0])
    client._n_samples = len(values)
    np.testing.assert_allclose(client._decrypted(seal.save(ciphertext)), values, atol=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_encrypted_logits_are_those_of_the_network(kind: str) -> None:
    network = small_network()
    client, server = pair(KINDS[kind], network)
    for n in (20, 1):
        samples = images(n)
        sent = client.encrypt(samples)
        logits, plain = client.decrypt(server.evaluate(sent)), network(samples)
        assert logits.shape == (n, 3)
        np.testing.assert_allclose(logits, plain, atol=LARGEST_ERROR[kind] * np.abs(plain).max())


def with_zeros(network: Network, **zeros: tuple[int, ...]) -> Network:
    """The same with no weight for these outputs of the layers `first`, `second` and `third`."""
    layers, weighted = list(network.layers), {"first": 0, "second": 3, "third": 5}
    for name, outputs in zeros.items():
        layer = layers[weighted[name]]
        assert isinstance(layer, Conv2d | Linear)
        weight = layer.weight.copy()
        weight[list(outputs)] = 0
        layers[weighted[name]] = dataclasses.replace(layer, weight=weight)
    return Network(network.input_shape, tuple(layers))


@pytest.mark.parametrize("kind", KINDS)
def test_dead_neurons_leave_the_logits_as_they_are(kind: str) -> None:
    scheme, network = KINDS[kind], with_zeros(small_network(), first=(1,), second=(0, 3))
    scheme.module.check(scheme, network, FACTS)
    client, server = pair(scheme, network)
    samples = images(20)
    logits, plain = client.decrypt(server.evaluate(client.encrypt(samples))), network(samples)
    np.testing.assert_allclose(logits, plain, atol=LARGEST_ERROR[kind] * np.abs(plain).max())


@pytest.mark.parametrize("kind", KINDS)
def test_a_logit_that_no_sample_changes_is_refused(kind: str) -> None:
    scheme = KINDS[kind]
    for zeros, index in (({"third": (2,)}, 2), ({"second": range(5)}, 0), ({"first": range(2)}, 0)):
        network = with_zeros(small_network(), **{name: tuple(outputs) for name, outputs in zeros.items()})
        with pytest.raises(ConfigError, match=f"model: logit {index} is the same for every sample"):
            scheme.module.check(scheme, network, FACTS)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_up_to_the_limit_do_not_wrap(kind: str) -> None:
    scheme, network = KINDS[kind], small_network()
    limit = scheme.module.largest_logit(scheme, FACTS)
    convolution, square, flatten, hidden, _, last = network.layers
    assert isinstance(hidden, Linear)
    assert isinstance(last, Linear)
    # Nearly the same for every image: each hidden value is 2, and 5 squares of it make a logit.
    constant = Linear(np.full_like(hidden.weight, 2**-8), np.full(5, 2, np.float32))
    shares = np.array([0.95, -0.95, 1.1], np.float32) * np.float32(limit) / 20
    extreme = Linear(np.repeat(shares[:, np.newaxis], 5, axis=1), np.zeros(3, np.float32))
    layers = (convolution, square, flatten, constant, square, extreme)
    client, server = pair(scheme, Network(network.input_shape, layers))
    (logits,) = client.decrypt(server.evaluate(client.encrypt(np.zeros((1, 36), np.float32))))
    (plain,) = Network(network.input_shape, layers)(np.zeros((1, 36), np.float32))
    np.testing.assert_allclose(logits[:2], plain[:2], rtol=0.02)
    # The limit is no mere caution.
    assert abs(logits[2] - plain[2]) > limit


@pytest.mark.parametrize("kind", ON_SEAL)
def test_slots_beyond_the_batch_are_those_of_a_black_image(kind: str) -> None:
    network = small_network()
    client, server = pair(KINDS[kind], network)
    result = server.evaluate(client.encrypt(images(3)))
    client._n_samples = client._parameters.n_slots
    black = network(np.zeros((1, 36), np.float32))
    np.testing.assert_allclose(client.decrypt(result)[3:], np.tile(black, (client._n_samples - 3, 1)), atol=0.3)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_client_can_decrypt(kind: str) -> None:
    client, server = pair(KINDS[kind], small_network())
    assert decrypts(client)
    assert not decrypts(server)
    # Compressed as a whole, so a piece of it from anywhere would be found.
    key = seal.save(secret_key(client)).tobytes()
    sent = [array.tobytes() for array in [*client.public_material(), *client.encrypt(images(2))]]
    assert not any(key[start : start + 64] in message for start in range(128, 4096, 64) for message in sent)


def test_a_client_and_a_server_do_without_torch() -> None:
    code = (
        "import sys, numpy as np\n"
        "from ppbench.models.network import Linear, Network, Square\n"
        "from ppbench.scheme import TaskFacts\n"
        "from schemes.cryptonets import CryptoNets\n"
        "scheme = CryptoNets(packing='throughput')\n"
        "ones = [Linear(np.ones(shape, 'f4'), np.zeros(shape[0], 'f4')) for shape in [(3, 4), (3, 3), (2, 3)]]\n"
        "network = Network((4,), (ones[0], Square(), ones[1], Square(), ones[2]))\n"
        "client = scheme.module.Client(scheme, TaskFacts('x', (4,), 1.0, 2, 1, 1, 0))\n"
        "server = scheme.module.Server(scheme, network)\n"
        "server.load(client.public_material())\n"
        "client.decrypt(server.evaluate(client.encrypt(np.zeros((1, 4), 'f4'))))\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# What is refused.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"poly_modulus_degree": 4096}, r"are 145 bits.*must be at most 106"),
        ({"evaluation_keys": False, "modulus_bits": (32, 32, 22, 22)}, r"are 108 bits.*must be at most 106"),
        ({"evaluation_keys": False, "modulus_bits": (32, 32, 22)}, "must have 4 primes"),
        ({"modulus_bits": (32, 32, 24, 24)}, "must have 5 primes: fewer are not deep enough"),
        ({"modulus_bits": (33, 32, 24, 24, 33)}, "modulus_bits .*=33 must be from 1 to 32"),
        ({"scale_bits": (19, 11, 10)}, "must have 4 values"),
        ({"scale_bits": (12, 11, 10, 11)}, r"leave 2\^8 for a value between the squares.*at least 2\^12"),
        ({"scale_bits": (24, 11, 10, 11)}, r"a logit a scale of 2\^75.*at most 2\^62"),
        ({"scale_bits": (15, 11, 20, 9)}, "20 for these weights must be at most 1[6-9]"),
        ({"scale_bits": (19, 11, 10, 1)}, "1 are too few for a layer"),
        ({"engine": "tenseal", "modulus_bits": (31, 26, 26, 26, 31)}, "must have 7 primes"),
        ({"engine": "tenseal", "evaluation_keys": False}, "needs scheme.engine=sealapi"),
    ],
)
def test_bad_parameters_are_named_before_a_key_is_made(
    options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_key(*_: object) -> None:
        raise AssertionError("a key is made")

    monkeypatch.setattr(throughput_parameters, "context", no_key)
    network = small_network()
    *first, last = network.layers
    assert isinstance(last, Linear)
    faint = dataclasses.replace(last, weight=np.clip(last.weight, -0.2, 0.2))
    scheme = CryptoNets(packing="throughput", **options)
    with pytest.raises(ConfigError, match=message):
        scheme.module.check(scheme, Network(network.input_shape, (*first, faint)), FACTS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_or_a_network_that_does_not_fit_is_refused(kind: str) -> None:
    scheme, network = KINDS[kind], small_network()
    check = scheme.module.check
    check(scheme, network, FACTS)
    n_slots = 2048 if kind == "without keys" else 4096
    check(scheme, network, dataclasses.replace(FACTS, batch_size=n_slots))
    with pytest.raises(ConfigError, match=f"task.batch_size={n_slots + 1} must be from 1 to {n_slots}"):
        check(scheme, network, dataclasses.replace(FACTS, batch_size=n_slots + 1))
    with pytest.raises(ConfigError, match="takes 36 pixels, a sample has 35"):
        check(scheme, network, dataclasses.replace(FACTS, sample_shape=(5, 7)))
    rectified = tuple(ReLU() if isinstance(layer, Square) else layer for layer in network.layers)
    with pytest.raises(ConfigError, match="layer 1 is ReLU, which cannot be computed on ciphertexts"):
        check(scheme, Network(network.input_shape, rectified), FACTS)
    linear = tuple(layer for layer in network.layers if not isinstance(layer, Square))
    with pytest.raises(ConfigError, match="the network has 0 squares"):
        check(scheme, Network(network.input_shape, linear), FACTS)


@pytest.mark.parametrize("kind", KINDS)
def test_garbage_is_a_protocol_error(kind: str) -> None:
    client, server = pair(KINDS[kind], small_network())
    noise = np.arange(200, dtype=np.uint8)
    for keys in ([noise, noise], [noise]):
        with pytest.raises(ProtocolError):
            server.load(keys)
    sent = client.encrypt(images(1))
    for garbage in ([], [noise], sent[:-1], [*sent[:-1], sent[-1][:1]]):
        with pytest.raises(ProtocolError):
            server.evaluate(garbage)
    with pytest.raises(ProtocolError):
        client.decrypt([noise] * 3)
    with pytest.raises(ProtocolError):
        client.decrypt([])


# Whole jobs.


@pytest.mark.parametrize("kind", ON_SEAL)
def test_a_job_answers_as_the_model(tmp_path: Path, kind: str) -> None:
    task = TaskOptions(n_samples=50, batch_size=40)
    options = MeasureOptions(repetitions=1, warmup_batches=0)
    record = experiment.run(Job(KINDS[kind], Digits(), CryptoNetsModel(), task, options), tmp_path)
    assert record.status == "ok", record.reason
    measured = summary([record]).iloc[0]
    assert measured.agreement >= 0.98
    assert measured.rounds == 2
    assert measured.setup_up_bytes <= 1e6


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ON_SEAL)
def test_on_mnist_it_is_as_good_as_the_clear_model(tmp_path: Path, kind: str) -> None:
    try:
        Mnist().load()
    except DataError as error:
        pytest.skip(str(error))
    batch = 4096 if kind == "sealapi" else 2048
    task = TaskOptions(n_samples=4096, batch_size=batch)
    options = MeasureOptions(repetitions=1, warmup_batches=0)
    record = experiment.run(Job(KINDS[kind], Mnist(), CryptoNetsModel(), task, options), tmp_path)
    assert record.status == "ok", record.reason
    measured = summary([record]).iloc[0]
    assert measured.agreement >= 0.995
    assert measured.accuracy >= 0.985
    assert measured.up_message_bytes_per_sample <= 26e3
