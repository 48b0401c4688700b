"""CryptoNets, one image a ciphertext: what it computes, what it sends, and that the key stays where it was made."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ppbench.bundle import Array
from ppbench.data.digits import Digits
from ppbench.data.mnist import Mnist
from ppbench.errors import ConfigError, DataError, ProtocolError
from ppbench.he import seal
from ppbench.measure import experiment
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.models.mlp import Mlp
from ppbench.models.model import Model
from ppbench.models.network import Conv2d, Linear, Network, ReLU, Square
from ppbench.models.square import CryptoNetsModel, SquareTutorial
from ppbench.records import JobRecord
from ppbench.report.summary import summary
from ppbench.scheme import Scheme, TaskFacts
from schemes.cryptonets import CryptoNets, circuit_privacy, latency, parameters
from schemes.cryptonets.layout import HIDDEN, Layers, Layout
from schemes.cryptonets.rounding import Rounding
from tests.helpers.held_keys import gave_its_key_away
from tests.helpers.measured import value
from tests.helpers.watched_cryptonets import Careless, Watched
from tests.helpers.zero_layer import ZeroLayer

pytest.importorskip("tenseal")

ENGINES = ("sealapi", "tenseal")
PRIVATE = CryptoNets(circuit_privacy=True)
SECURITY = {"sealapi": "guidelines_2024", "tenseal": "standard_2018"}
"""The table that each engine's recommended parameters keep to."""
MNIST = TaskFacts("mnist", (28, 28), 255.0, 10, 1, 1, 0)
LIVELY = 2.5
"""Untrained layers answer near 0; so many times their weights, they answer as large as trained ones."""


def untrained(sample_shape: tuple[int, int] = (28, 28), n_classes: int = 10) -> Network:
    network = SquareTutorial().architecture(sample_shape, n_classes)
    lively = [
        dataclasses.replace(layer, weight=layer.weight * LIVELY) if isinstance(layer, Linear | Conv2d) else layer
        for layer in network.layers
    ]
    return Network(network.input_shape, tuple(lively))


def images(n: int, sample_shape: tuple[int, int] = (28, 28)) -> Array:
    return np.random.default_rng(1).random((n, sample_shape[0] * sample_shape[1]), np.float32)


def run(scheme: Scheme, folder: Path, n_samples: int, model: Model | None = None, **measure: Any) -> JobRecord:
    options = MeasureOptions(repetitions=1, **measure)
    task = TaskOptions(n_samples=n_samples, batch_size=2)
    record = experiment.run(Job(scheme, Digits(), model or SquareTutorial(), task, options), folder)
    assert record.status == "ok", record.reason
    return record


def in_slots(layout: Layout, network: Network, sample: Array) -> Array:
    """The circuit on plain slots: what the ciphertexts hold, without their noise."""
    layers = Layers.of(network)

    def total(terms: Iterable[Array]) -> Array:
        summed: Array = np.sum(list(terms), axis=0)
        return summed

    def rotated(slots: Array, steps: int) -> Array:
        return np.roll(slots, -steps)

    def folded(slots: Array, rotations: list[int]) -> Array:
        for steps in rotations:
            slots = slots + rotated(slots, steps)
        return slots

    image = layout.image(sample)
    products = zip(layout.convolution(layers.convolution), layout.map_rotations, strict=True)
    features = folded(total(rotated(image * w, steps) for w, steps in products), layout.pixel_sums)
    features = (features + layout.convolution_bias(layers.convolution)) ** 2
    moved = zip(layout.hidden(layers.hidden), layout.feature_rotations, strict=True)
    hidden = folded(total(w * rotated(features, steps) for w, steps in moved), layout.block_sums)
    hidden = (hidden + layout.hidden_bias(layers.hidden)) ** 2
    logits = folded(hidden * layout.output(layers.output), layout.class_sums)
    return logits + layout.output_bias(layers.output)


@pytest.mark.parametrize("sample_shape", [(28, 28), (8, 8), (16, 13), (7, 7)])
@pytest.mark.parametrize("n_classes", [1, 2, 10, 13, 64])
def test_the_layout_computes_the_network(sample_shape: tuple[int, int], n_classes: int) -> None:
    network = untrained(sample_shape, n_classes)
    layout = Layout(4096, sample_shape, n_classes)
    (sample,) = images(1, sample_shape)
    slots = in_slots(layout, network, sample).reshape(HIDDEN, -1)
    np.testing.assert_allclose(slots[:, :n_classes], np.tile(network(sample[np.newaxis]), (HIDDEN, 1)), atol=1e-3)
    assert not slots[:, n_classes:].any()


@pytest.mark.parametrize("engine", ENGINES)
def test_encrypted_logits_are_those_of_the_network(engine: str) -> None:
    scheme, network, samples = CryptoNets(engine=engine, security=SECURITY[engine]), untrained(), images(2)
    module: Any = scheme.module
    client, server = module.Client(scheme, MNIST), module.Server(scheme, network)
    server.load(client.public_material())
    result = server.evaluate(client.encrypt(samples))
    clear, decrypted = network(samples), client.decrypt(result)
    assert decrypted.shape == (2, 10)
    tolerance = {"sealapi": 0.05, "tenseal": 0.2}[engine] * np.abs(clear).max()
    np.testing.assert_allclose(decrypted, clear, atol=tolerance)
    # What the card says of the slots beyond the logits.
    slots = np.reshape(client.slots(seal.split(result)[0]), (HIDDEN, -1))[:, 10:]
    if engine == "sealapi":
        assert np.abs(slots).max() < 0.02 * np.abs(clear).max()
    else:
        assert np.abs(slots).max() > 0.1 * np.abs(clear).max()


def test_it_answers_as_the_model_and_sends_little(tmp_path: Path) -> None:
    record = run(CryptoNets(), tmp_path, n_samples=20)
    measured = summary([record]).iloc[0]
    assert measured.agreement == 1
    # A secret, a polynomial modulo a prime of 60 bits, and the image, whatever the keys take together.
    assert value(record, "job", "participant_resident_bytes") == 8192 / 4 + 8192 * 60 / 8 + 64
    # The noise of ciphertexts: 0.074 on average, with a standard deviation of 0.011 over keys.
    assert 0 < measured.largest_logit_error < 0.2
    assert measured.rounds == 2
    assert measured.up_message_bytes_per_sample <= 170e3
    assert measured.setup_up_bytes <= 16e6
    assert measured.participant_peak_rss_bytes <= 200e6


def parts_of(key: bytes) -> list[bytes]:
    """Of the key's serialisation, beyond SEAL's headers."""
    return [key[start : start + 64] for start in range(128, len(key) - 64, len(key) // 16)]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_coordinator_never_holds_the_key(tmp_path: Path, engine: str) -> None:
    sound = run(
        Watched(engine=engine, security=SECURITY[engine]), tmp_path, n_samples=1, view_batches=1, warmup_batches=0
    )
    assert not gave_its_key_away(sound, tmp_path, parts_of)
    broken = run(
        Careless(engine=engine, security=SECURITY[engine]), tmp_path, n_samples=1, view_batches=1, warmup_batches=0
    )
    assert gave_its_key_away(broken, tmp_path, parts_of)


def check(options: dict[str, Any], network: Network) -> None:
    scheme = CryptoNets(**options)
    scheme.module.check(scheme, network, MNIST)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"poly_modulus_degree": 4096}, r"modulus_bits=\[60, 60, 60\] are 180 bits.*must be at most 106"),
        ({"poly_modulus_degree": 8000}, "poly_modulus_degree=8000 must be one of 1024, 2048"),
        ({"modulus_bits": (60, 60, 60, 60)}, r"are 240 bits.*must be at most 214 \(guidelines_2024\)"),
        ({"security": "standard_2018", "modulus_bits": (60, 60, 60, 60)}, r"must be at most 218 \(standard_2018\)"),
        ({"engine": "tenseal"}, r"are 218 bits.*must be at most 214"),
        ({"security": "none"}, "scheme.security='none' is not one of guidelines_2024, standard_2018"),
        ({"modulus_bits": (60, 60)}, "must have 3 primes: fewer are not deep enough"),
        ({"modulus_bits": (60, 61, 60)}, "modulus_bits=61 must be from .* to 60"),
        ({"circuit_privacy": True, "scale_bits": (50, 44, 42, 30)}, r"leave flooding 2\^17 times .* needs 2\^20 times"),
        ({"scale_bits": (16, 15)}, "scale_bits=.* must have 4 values"),
        ({"scale_bits": (16, 15, 17, 0)}, "scale_bits=0 must be from 1 to 60"),
        ({"scale_bits": (10, 10, 17, 17)}, "twice the first two plus the third must be at least 76"),
        ({"engine": "tenseal", "modulus_bits": (31, 26, 26, 31)}, "must have 8 primes: fewer are not deep enough"),
        ({"engine": "tenseal", "security": "standard_2018", "scale_bits": (26, 26)}, "must have 1 values"),
        ({"engine": "seal"}, "scheme.engine='seal' is not one of"),
        ({"packing": "fast"}, "scheme.packing='fast' is not one of"),
    ],
)
def test_bad_parameters_are_named_before_a_key_is_made(
    options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_key(*_: object) -> None:
        raise AssertionError("a key is made")

    monkeypatch.setattr(parameters, "make_context", no_key)
    network = untrained()
    with pytest.raises(ConfigError, match=message):
        check(options, network)


def with_relu() -> Network:
    network = untrained()
    return Network(network.input_shape, tuple(ReLU() if isinstance(x, Square) else x for x in network.layers))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("network", "kinds"),
    [
        (with_relu(), "Conv2d - ReLU - Flatten - Linear - ReLU - Linear"),
        (CryptoNetsModel().architecture((28, 28), 10), "Conv2d - Square - Flatten - Linear - Square - Linear"),
        (Network((784,), (Linear.initial(784, 10, np.random.default_rng(0)),)), "Linear"),
    ],
    ids=["ReLU", "CryptoNets", "linear"],
)
def test_another_network_is_refused(engine: str, network: Network, kinds: str) -> None:
    scheme = CryptoNets(engine=engine, security=SECURITY[engine])
    with pytest.raises(ConfigError, match=f"not {kinds}: set model=square_tutorial"):
        scheme.module.check(scheme, network, MNIST)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (dataclasses.replace(MNIST, sample_shape=(64, 64)), "poly_modulus_degree must be at least 65536"),
        (dataclasses.replace(MNIST, sample_shape=(6, 28)), "images of at least 7x7"),
        (dataclasses.replace(MNIST, n_classes=100), "room for 64 classes, not 100"),
    ],
)
def test_what_does_not_fit_the_slots_is_refused(facts: TaskFacts, message: str) -> None:
    scheme = CryptoNets()
    with pytest.raises(ConfigError, match=message):
        scheme.module.check(scheme, untrained(), facts)


def test_logits_that_would_wrap_are_refused(tmp_path: Path) -> None:
    task = TaskOptions(n_samples=2, batch_size=2)
    job = Job(CryptoNets(scale_bits=(16, 15, 17, 21)), Digits(), SquareTutorial(), task)
    record = experiment.run(job, tmp_path)
    assert record.status == "failed"
    assert "logits reach" in record.reason
    assert "beyond 3.2 they wrap" in record.reason


def test_logits_up_to_the_limit_do_not_wrap() -> None:
    scheme, network = CryptoNets(), untrained()
    limit = latency.largest_logit(scheme, MNIST)
    *first, last = network.layers
    assert isinstance(last, Linear)
    # The worst case: every class near the limit, whatever the image.
    extreme = Linear(last.weight * np.float32(0.05), np.full(10, 0.99 * limit, np.float32))
    client, server = (
        latency.Client(scheme, MNIST),
        latency.Server(scheme, Network(network.input_shape, (*first, extreme))),
    )
    server.load(client.public_material())
    decrypted = client.decrypt(server.evaluate(client.encrypt(images(1))))
    np.testing.assert_allclose(decrypted, 0.99 * limit, atol=1)


def test_weights_that_are_0_leave_the_logits_as_they_are() -> None:
    scheme, network = CryptoNets(), untrained()
    convolution, square, flatten, hidden, again, last = network.layers
    assert isinstance(convolution, Conv2d)
    assert isinstance(hidden, Linear)
    assert isinstance(last, Linear)
    # With one weight a map, most products of weights and pixels have none; and there are a dead neuron and logit.
    kernels, dense, output = np.zeros_like(convolution.weight), hidden.weight.copy(), last.weight.copy()
    kernels[:, 0, 3, 3] = convolution.weight[:, 0, 3, 3] + 0.5
    dense[1], output[2] = 0, 0
    layers = (Conv2d(kernels, convolution.bias, 3), square, flatten, Linear(dense, hidden.bias), again)
    sparse = Network(network.input_shape, (*layers, Linear(output, last.bias)))
    scheme.module.check(scheme, sparse, MNIST)
    module: Any = scheme.module
    client, server = module.Client(scheme, MNIST), module.Server(scheme, sparse)
    server.load(client.public_material())
    logits, plain = client.decrypt(server.evaluate(client.encrypt(images(1)))), sparse(images(1))
    np.testing.assert_allclose(logits, plain, atol=0.1)


def test_a_layer_of_zeros_is_refused_before_any_party_starts(tmp_path: Path) -> None:
    record = experiment.run(Job(CryptoNets(), Digits(), ZeroLayer(where=3), TaskOptions(n_samples=2)), tmp_path)
    assert record.status == "failed"
    assert record.reason == "model: all weights of layer 3 are 0, so no logit depends on the sample"


def test_a_layer_whose_weights_round_to_0_is_refused() -> None:
    scheme, network = CryptoNets(), untrained()
    convolution, *others = network.layers
    assert isinstance(convolution, Conv2d)
    faint = dataclasses.replace(convolution, weight=convolution.weight * 1e-6)
    with pytest.raises(ConfigError, match=r"scheme.scale_bits: 14 are too few for a layer in which all weights round"):
        scheme.module.check(scheme, Network(network.input_shape, (faint, *others)), MNIST)


@pytest.mark.parametrize("engine", ENGINES)
def test_garbage_is_a_protocol_error(engine: str) -> None:
    scheme = CryptoNets(engine=engine, security=SECURITY[engine])
    module: Any = scheme.module
    client = module.Client(scheme, MNIST)
    noise = np.arange(200, dtype=np.uint8)
    with pytest.raises(ProtocolError):
        client.decrypt(seal.join([noise]))
    with pytest.raises(ProtocolError):
        client.decrypt([noise])
    with pytest.raises(ProtocolError):
        module.Server(scheme, untrained()).load([noise] * len(client.public_material()))


# Circuit privacy.

SIDES = (8, 8)
SMALL = TaskFacts("digits", SIDES, 16.0, 10, 1, 1, 0)


def answers_to_one_ciphertext(scheme: CryptoNets, n: int) -> tuple[latency.Client, latency.Server, list[Array]]:
    client, server = latency.Client(scheme, SMALL), latency.Server(scheme, untrained(SIDES))
    server.load(client.public_material())
    request = client.encrypt(images(1, SIDES))
    return client, server, [seal.split(server.evaluate(request))[0] for _ in range(n)]


def test_without_circuit_privacy_an_answer_follows_from_weights_and_ciphertext() -> None:
    _, _, (one, other) = answers_to_one_ciphertext(CryptoNets(), 2)
    assert np.array_equal(one, other)


def test_with_circuit_privacy_it_does_not_and_its_noise_is_as_large_as_stated() -> None:
    client, server, (one, other) = answers_to_one_ciphertext(PRIVATE, 2)
    halves = np.split(np.unpackbits(np.bitwise_xor(one, other)), 2)
    # Of both components, leading bits of a number modulo a prime of 60 bits; the first one's message is the same.
    assert all(abs(float(half.mean()) - 0.5) < 0.02 for half in halves)
    assert server._flooding is not None
    scale = latency.Scales.of(latency.Circuit.of(PRIVATE), client._context).answers
    stated = circuit_privacy.slot_deviation(server._flooding.bits, 16384, scale)
    noise = (np.array(client.slots(one)) - client.slots(other)) / np.sqrt(2)
    assert noise.std() == pytest.approx(stated, rel=0.05)
    decrypted, (clear,) = client.decrypt(seal.join([one]))[0], untrained(SIDES)(images(1, SIDES))
    # A logit is the average of its copies.
    np.testing.assert_allclose(decrypted, clear, atol=6 * stated / np.sqrt(HIDDEN))


def test_what_circuit_privacy_drowns_is_as_small_as_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    import tenseal.sealapi as sealapi

    # Whole, before flooding and before rounding to the leading bits.
    monkeypatch.setattr(Rounding, "shorten", lambda self, ciphertext, noise: seal.save(ciphertext))
    client, server, (answer,) = answers_to_one_ciphertext(PRIVATE, 1)
    assert server._flooding is not None
    plaintext = sealapi.Plaintext()
    client._decryptor.decrypt(seal.load(sealapi.Ciphertext(), client._context, answer), plaintext)
    (sample,) = images(1, SIDES).astype(np.float64)
    besides = client._encoder.decode_complex(plaintext) - in_slots(client._layout, untrained(SIDES), sample)
    scale = latency.Scales.of(latency.Circuit.of(PRIVATE), client._context).answers
    of_coefficient = np.sqrt(np.mean(np.abs(besides) ** 2) / 16384) * scale
    stated = latency.Circuit.of(PRIVATE).drowning_bits
    assert server._flooding.bits - np.log2(of_coefficient) > stated
    assert f"2^-{stated} a coefficient" in CryptoNets.card.guarantee


def test_with_circuit_privacy_a_job_answers_as_the_model(tmp_path: Path) -> None:
    measured = summary([run(PRIVATE, tmp_path, n_samples=2, warmup_batches=0)]).iloc[0]
    assert measured.agreement == 1
    assert 0 < measured.largest_logit_error < 0.1


@pytest.mark.parametrize("options", [{"engine": "tenseal"}, {"packing": "throughput"}], ids=str)
def test_circuit_privacy_is_refused_where_there_is_none(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"circuit_privacy=true is for scheme.engine=sealapi with .*=latency, not"):
        CryptoNets(circuit_privacy=True, **options)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_on_mnist_it_is_as_good_as_the_clear_model(tmp_path: Path) -> None:
    try:
        Mnist().load()
    except DataError as error:
        pytest.skip(str(error))
    task = TaskOptions(n_samples=200, batch_size=1)
    record = experiment.run(Job(CryptoNets(), Mnist(), SquareTutorial(), task, MeasureOptions(repetitions=1)), tmp_path)
    assert record.status == "ok", record.reason
    measured = summary([record]).iloc[0]
    assert measured.agreement >= 0.995
    assert measured.accuracy >= 0.97
    assert measured.participant_peak_rss_bytes <= 200e6


def test_a_model_that_does_not_fit_fails_the_job_with_its_reason(tmp_path: Path) -> None:
    record = experiment.run(Job(CryptoNets(), Digits(), Mlp(), TaskOptions(n_samples=2)), tmp_path)
    assert record.status == "failed"
    assert "set model=square_tutorial" in record.reason
