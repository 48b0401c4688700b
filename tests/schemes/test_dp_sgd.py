"""DP-SGD: features, gradients, noise and accounting, each against another's word; then the protocol."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]

from ppbench import bundle
from ppbench.data.dataset import Dataset, Split
from ppbench.data.digits import Digits
from ppbench.errors import ConfigError
from schemes.dp_sgd import DpSgd, cnn, linear
from schemes.dp_sgd.accounting import Ledger, noise_multiplier
from schemes.dp_sgd.architectures import ARCHITECTURES
from schemes.dp_sgd.descent import Recipe, clipping_factors, descend, poisson_sample
from schemes.dp_sgd.scattering import N_CHANNELS, normalised, scattering
from tests.helpers.measured import attempt as measure
from tests.helpers.measured import value
from tests.helpers.rare import RARE

QUICK = DpSgd(epochs=4, sample_rate=1 / 16)
RATE, STEPS, DELTA = 1 / 64, 640, 1e-5


# Features.


def test_scattering_is_kymatios() -> None:
    """Some values of Scattering2D(J=2, L=8, shape=(16, 16)) of kymatio 0.3.0, which cuts off aliases that we keep."""
    y, x = np.mgrid[:16, :16]
    found = scattering(((x * x + 3 * y) % 17 / 17).astype(np.float32)[np.newaxis])
    assert found.shape == (1, 81, 4, 4)
    kymatio = [0.48427, 0.05214, 0.06013, 0.02076, 0.04998, 0.00968, 0.00552, 0.00267]
    np.testing.assert_allclose(found[0, [0, 1, 5, 9, 13, 17, 40, 80], 1, 2], kymatio, atol=1.5e-4)
    assert found.mean() == pytest.approx(0.019522, abs=1e-5)


@pytest.mark.parametrize("side", [8, 28])
def test_an_even_grey_has_no_wavelets(side: int) -> None:
    found = scattering(np.full((5, side, side), 0.5, np.float32))
    assert found.shape == (5, N_CHANNELS, side // 4, side // 4)
    np.testing.assert_allclose(found[:, 0], 0.5, atol=1e-3)
    np.testing.assert_allclose(found[:, 1:], 0, atol=1e-6)


def test_each_image_is_transformed_alone() -> None:
    images = np.random.default_rng(0).random((7, 12, 12), np.float32)
    one_by_one = np.concatenate([normalised(scattering(image[np.newaxis])) for image in images])
    np.testing.assert_allclose(normalised(scattering(images)), one_by_one, atol=1e-4)
    assert scattering(images[:0]).shape == (0, 81, 3, 3)


def test_features_are_normalised_in_groups() -> None:
    torch = pytest.importorskip("torch")
    features = np.random.default_rng(0).normal(3, 2, (4, 81, 7, 7)).astype(np.float32)
    groups = torch.nn.functional.group_norm(torch.from_numpy(features), 27)
    np.testing.assert_allclose(normalised(features), groups.numpy(), atol=1e-4)


# Gradients: against opacus's own per-sample gradients.


def opacus_clipped_sum(module: Any, samples: Any, labels: Any, clip: float) -> np.ndarray:
    import torch
    from opacus.grad_sample import GradSampleModule

    wrapped = GradSampleModule(module, loss_reduction="sum")
    loss = torch.nn.functional.cross_entropy(wrapped(samples), labels, reduction="sum")
    loss.backward()  # type: ignore[no-untyped-call]
    each = torch.cat([parameter.grad_sample.flatten(1) for parameter in wrapped.parameters()], dim=1)
    factors = (clip / each.norm(dim=1)).clamp(max=1)
    total: np.ndarray = (factors @ each).numpy()
    return total


@pytest.mark.parametrize("clip", [0.1, 3.0, 1e3])
def test_linear_clipping_in_closed_form_is_opacus_s(clip: float) -> None:
    import torch

    random = np.random.default_rng(0)
    features = random.normal(size=(50, 13)).astype(np.float32)
    labels = random.integers(0, 5, 50).astype(np.uint8)
    weights = random.normal(size=(5, 13)).astype(np.float32)
    chosen = np.array([3, 1, 4, 15, 9, 26, 5])
    module = torch.nn.Linear(13, 5, bias=False)
    module.weight.data = torch.tensor(weights)
    theirs = opacus_clipped_sum(module, torch.tensor(features[chosen]), torch.tensor(labels[chosen]).long(), clip)
    ours = linear.clipped_sum(features, labels, 5, clip)(weights.ravel(), chosen)
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * clip + 1e-6)


@pytest.mark.parametrize("activation", [cnn.TANH, cnn.TEMPERED], ids=["tanh", "tempered"])
def test_convolutional_clipping_is_opacus_s(activation: cnn.Activation, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    class Bounded(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return activation.scale * torch.sigmoid(activation.temperature * x) - activation.offset

    random = np.random.default_rng(1)
    arrays = cnn.initial(10, random)
    samples = random.random((23, 784), np.float32)
    labels = random.integers(0, 10, 23).astype(np.uint8)
    module = torch.nn.Sequential(
        *(torch.nn.Conv2d(1, 16, 8, 2, 3), Bounded(), torch.nn.MaxPool2d(2, 1)),
        *(torch.nn.Conv2d(16, 32, 4, 2), Bounded(), torch.nn.MaxPool2d(2, 1), torch.nn.Flatten()),
        *(torch.nn.Linear(512, 32), Bounded(), torch.nn.Linear(32, 10)),
    )
    for parameter, array in zip(module.parameters(), arrays, strict=True):
        parameter.data = torch.tensor(array)
    images = torch.tensor(samples).reshape(-1, 1, 28, 28)
    with torch.no_grad():
        np.testing.assert_allclose(cnn.logits(arrays, activation, samples), module(images).numpy(), atol=1e-5)
    flat = np.concatenate([array.ravel() for array in arrays])
    assert flat.shape == (26_010,)
    monkeypatch.setattr(cnn, "_AT_ONCE", 10)
    ours = cnn.clipped_sum(arrays, activation, samples, labels, 0.5)(flat, np.arange(23))
    theirs = opacus_clipped_sum(module, images, torch.tensor(labels).long(), 0.5)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    total = cnn.clipped_sum(arrays, activation, samples, labels, 0.5)
    assert not total(flat, np.arange(0)).any()
    # A record moves the sum by no more than the clipping norm, wherever the others stand.
    assert np.linalg.norm(total(flat, np.arange(23)) - total(flat, np.arange(1, 23))) <= 0.5


@given(seed=st.integers(0, 10**6), clip=st.floats(1e-3, 1e3), scale=st.sampled_from([1e-20, 1.0, 1e4]))
def test_one_record_moves_the_sum_by_no_more_than_the_clipping_norm(seed: int, clip: float, scale: float) -> None:
    random = np.random.default_rng(seed)
    features = (scale * random.normal(size=(6, 4))).astype(np.float32)
    total = linear.clipped_sum(features, random.integers(0, 3, 6), 3, clip)
    weights = random.normal(size=12).astype(np.float32)
    moved = total(weights, np.arange(6)) - total(weights, np.arange(5))
    assert np.linalg.norm(moved) <= clip


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_nor_does_one_among_many_records(seed: int) -> None:
    random = np.random.default_rng(seed)
    # Nearly alike, so that they add up to much, in which single precision loses a part of each.
    features = (1 + 1e-3 * random.normal(size=(1500, 40))).astype(np.float32)
    total = linear.clipped_sum(features, np.zeros(1500, np.uint8), 3, 0.1)
    weights = random.normal(size=120).astype(np.float32)
    moved = total(weights, np.arange(1500)) - total(weights, np.arange(1, 1500))
    assert np.linalg.norm(moved) <= 0.1


def test_a_gradient_of_nothing_is_left_as_it_is() -> None:
    factors = clipping_factors(np.array([0.0, 0.5, 4.0]), 1.0)
    assert factors.tolist() == [1.0, 1.0, pytest.approx(0.25, rel=1e-6)]
    assert factors[2] < 0.25


# Chance.


def test_a_poisson_sample_takes_each_record_with_the_same_chance() -> None:
    n, rate, draws = 2000, 0.1, 300
    counts = np.zeros(n, int)
    sizes = []
    for _ in range(draws):
        chosen = poisson_sample(n, rate)
        counts[chosen] += 1
        sizes.append(len(chosen))
    assert stats.kstest(counts + np.random.default_rng(0).random(n), _jittered_binomial(draws, rate)).pvalue > RARE
    assert abs(np.mean(sizes) - n * rate) < 6 * math.sqrt(n * rate * (1 - rate) / draws)
    assert 0.7 < np.std(sizes) / math.sqrt(n * rate * (1 - rate)) < 1.4, "the size itself is drawn, too"
    assert np.array_equal(poisson_sample(10, 1.0), np.arange(10))


def _jittered_binomial(n: int, rate: float) -> Any:
    def cumulative(x: np.ndarray) -> Any:
        whole = np.floor(x)
        below = stats.binom.cdf(whole - 1, n, rate)
        return below + (x - whole) * stats.binom.pmf(whole, n, rate)

    return cumulative


def test_each_step_adds_gaussian_noise_of_the_scale_that_is_accounted_for() -> None:
    taken: list[tuple[float, float]] = []
    recipe = Recipe(steps=1, sample_rate=0.25, noise_multiplier=1.5, clip=0.2, learning_rate=2.0, momentum=0.9)
    moved = descend(np.zeros(20_000), 100, lambda p, _: np.zeros_like(p), recipe, lambda *s: taken.append(s))
    noise = moved / -2.0 * 25
    assert taken == [(1.5, 0.25)]
    assert stats.kstest(noise, stats.norm(0, 1.5 * 0.2).cdf).pvalue > RARE


def test_momentum_and_a_learning_rate_that_falls() -> None:
    recipe = Recipe(steps=2, sample_rate=1.0, noise_multiplier=1e-6, clip=1.0, learning_rate=1.0, momentum=0.5)
    moved = descend(np.zeros(3), 10, lambda p, _: np.full_like(p, 10.0), recipe, lambda *_: None)
    np.testing.assert_allclose(moved, -(1.0 + 0.5 * 1.5), rtol=1e-4)


def test_steps_without_a_record_are_taken_and_counted() -> None:
    features, taken = np.ones((3, 2), np.float32), []
    recipe = Recipe(steps=20, sample_rate=1e-6, noise_multiplier=1.0, clip=1.0, learning_rate=1.0, momentum=0.0)
    clipped_sum = linear.clipped_sum(features, np.zeros(3, np.uint8), 2, 1.0)
    descend(np.zeros(4), 3, clipped_sum, recipe, lambda *step: taken.append(step))
    assert len(taken) == 20


# Accounting.


@pytest.mark.parametrize("name", ["rdp", "prv"])
def test_epsilon_is_what_opacus_says_of_the_steps_taken(name: str) -> None:
    from opacus.accountants import create_accountant

    ledger, theirs = Ledger(name), create_accountant(name)
    for _ in range(STEPS):
        ledger.add(1.1, RATE)
        theirs.step(noise_multiplier=1.1, sample_rate=RATE)
    assert ledger.epsilon(DELTA) == theirs.get_epsilon(DELTA)


@pytest.mark.parametrize("name", ["rdp", "prv"])
@pytest.mark.parametrize("epsilon", [0.5, 1.19, 7.1])
def test_the_noise_found_keeps_to_the_budget_and_no_less_would(name: str, epsilon: float) -> None:
    sigma = noise_multiplier(name, epsilon, DELTA, RATE, STEPS)
    spent = []
    for noise in (sigma, 0.97 * sigma):
        ledger = Ledger(name)
        ledger.add(noise, RATE, STEPS)
        spent.append(ledger.epsilon(DELTA))
    assert spent[0] <= epsilon < spent[1]
    assert spent[0] > 0.98 * epsilon


@pytest.mark.parametrize("sigma", [0.8, 2.0])
def test_prv_is_tighter_than_rdp_and_not_below_what_one_gaussian_gives(sigma: float) -> None:
    from ppbench.privacy.analytic_gaussian import gaussian_epsilon

    spent = {}
    for name in ("rdp", "prv"):
        ledger = Ledger(name)
        ledger.add(sigma, RATE, STEPS)
        spent[name] = ledger.epsilon(DELTA)
    assert spent["prv"] < spent["rdp"] < 1.5 * spent["prv"]
    full = Ledger("prv")
    full.add(10 * sigma, 1.0, 25)  # without sampling, 25 steps are one with a fifth of the noise
    exact = gaussian_epsilon(2 * sigma, DELTA, 1.0)
    assert exact <= full.epsilon(DELTA) < exact + 0.05


@pytest.mark.parametrize("name", ["rdp", "prv"])
def test_a_budget_that_no_noise_keeps_is_an_error(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"the {name} accountant finds no noise for scheme\.epsilon=1e-07"):
        noise_multiplier(name, 1e-7, DELTA, RATE, STEPS)


# The protocol.


def test_what_is_released_and_recorded(tmp_path: Path) -> None:
    record = measure(dataclasses.replace(QUICK, epsilon=20.0), tmp_path, n_participants=2)
    assert record.status == "ok", record.reason
    assert value(record, "online", "accuracy") > 0.7
    ledger = Ledger("prv")
    ledger.add(value(record, "job", "published_noise_multiplier"), 1 / 16, 64)
    # To the last digit but one: sums over orders come out differently from process to process.
    assert value(record, "job", "published_epsilon") == pytest.approx(ledger.epsilon(DELTA), rel=1e-12)
    assert value(record, "job", "epsilon") == pytest.approx(ledger.epsilon(DELTA), rel=1e-12)
    assert value(record, "job", "epsilon") <= 20
    assert value(record, "job", "published_steps") == 64
    assert value(record, "job", "delta") == DELTA
    assert value(record, "job", "noise_scale") == value(record, "job", "published_noise_multiplier") * QUICK.clip
    sent = {
        (r.party, r.peer): r.value for r in record.records if (r.stage, r.metric) == ("train", "message_bytes_sent")
    }
    assert sent["participant-0", "curator"] == 649 * 65
    assert sent["participant-0", "coordinator"] == 0
    # Records up, the model down; between curator and coordinator there is no participant's link.
    assert value(record, "train", "rounds") == 2
    published = bundle.load(tmp_path / record.folder / "published" / "curator.npz")
    assert published["steps"] == 64


def test_a_larger_budget_is_more_accurate(tmp_path: Path) -> None:
    low, high = (measure(dataclasses.replace(QUICK, epsilon=e), tmp_path, batch_size=500) for e in (0.05, 100.0))
    assert value(low, "online", "accuracy") + 0.2 < value(high, "online", "accuracy")
    assert value(high, "online", "accuracy") > 0.85


@pytest.mark.parametrize("architecture", ["linear", "scattering"])
def test_device_and_curator_compute_the_same(architecture: str) -> None:
    data = Digits().load()
    chosen = ARCHITECTURES[architecture]
    chosen.check(data.sample_shape)
    recipe = Recipe(steps=200, sample_rate=0.5, noise_multiplier=0.01, clip=1.0, learning_rate=1.0, momentum=0.9)
    task = _facts(data)
    model = chosen.train(
        task, task.unit(data.train.samples), data.train.labels, recipe, np.random.default_rng(0), lambda *_: None
    )
    labels = chosen.classify(model, task.unit(data.test.samples), task)
    assert labels.dtype == np.uint8
    assert (labels == data.test.labels).mean() > 0.9


def test_a_convolutional_network_learns() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 64).astype(np.uint8)
    samples = (0.1 * random.random((64, 28, 28))).astype(np.float32)
    samples[labels == 1, 8:20, 8:20] += 0.8
    task = dataclasses.replace(_facts(Digits().load()), sample_shape=(28, 28), sample_max=1, n_classes=2)
    chosen = ARCHITECTURES["tanh_cnn"]
    recipe = Recipe(steps=30, sample_rate=1.0, noise_multiplier=0.01, clip=1.0, learning_rate=0.2, momentum=0.5)
    model = chosen.train(task, samples.reshape(64, -1), labels, recipe, random, lambda *_: None)
    assert (chosen.classify(model, samples.reshape(64, -1), task) == labels).mean() > 0.95


def _facts(data: Dataset) -> Any:
    from ppbench.scheme import TaskFacts

    return TaskFacts(data.name, data.sample_shape, data.sample_max, data.n_classes, 16, 1, seed=0)


# Bad input.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": 0.0}, r"scheme\.epsilon=0\.0 must be finite and above 0"),
        ({"epsilon": -1.0}, r"scheme\.epsilon=-1\.0 must be"),
        ({"epsilon": math.nan}, r"scheme\.epsilon=nan must be"),
        ({"epsilon": math.inf}, r"scheme\.epsilon=inf must be"),
        ({"delta": 0.0}, r"scheme\.delta=0\.0 must be above 0 and below 1"),
        ({"delta": 1.0}, r"scheme\.delta=1\.0 must be"),
        ({"accountant": "moments"}, r"scheme\.accountant='moments' is not one of prv, rdp"),
        ({"architecture": "lenet"}, r"scheme\.architecture='lenet' is not one of scattering"),
        ({"sample_rate": 0.0}, r"scheme\.sample_rate=0\.0 must be"),
        ({"sample_rate": 1.5}, r"scheme\.sample_rate=1\.5 must be"),
        ({"epochs": 0}, r"scheme\.epochs=0 must be"),
        ({"learning_rate": 0.0}, r"scheme\.learning_rate=0\.0 must be"),
        ({"momentum": 1.0}, r"scheme\.momentum=1\.0 must be"),
        ({"clip": 0.0}, r"scheme\.clip=0\.0 must be"),
    ],
)
def test_options_that_promise_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DpSgd(**options)


@pytest.mark.parametrize(
    ("architecture", "shape"),
    [("scattering", (12,)), ("scattering", (6, 6)), ("scattering", (8, 12)), ("tanh_cnn", (8, 8))],
)
def test_samples_that_the_architecture_does_not_take_are_refused(architecture: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"scheme\.architecture"):
        ARCHITECTURES[architecture].check(shape)


@dataclasses.dataclass(frozen=True)
class FewDigits(Digits):
    """So few training records that some, or all, participants have none."""

    n_train: int = 1

    def load(self) -> Dataset:
        data = super().load()
        train = Split(data.train.samples[: self.n_train], data.train.labels[: self.n_train])
        return dataclasses.replace(data, train=train, sha256=f"first {self.n_train}")


def test_a_participant_without_records_is_served(tmp_path: Path) -> None:
    record = measure(QUICK, tmp_path, FewDigits(n_train=20), n_participants=30)
    assert record.status == "ok", record.reason


def test_labels_that_are_missing_or_unknown_are_refused() -> None:
    from ppbench.errors import ProtocolError
    from schemes.dp_sgd.scheme import _received

    facts = _facts(Digits().load())
    good = np.zeros((3, 64), np.uint8), np.zeros(3, np.uint8)

    class Sender:
        peer = "participant-0"

        def __init__(self, *arrays: np.ndarray) -> None:
            self.arrays = arrays

        def receive_many(self, name: str) -> tuple[np.ndarray, ...]:
            return self.arrays

    class Party:
        task = facts

        def __init__(self, *arrays: np.ndarray) -> None:
            self.participants = [Sender(*arrays)]

    samples, labels = _received(Party(*good))  # type: ignore[arg-type]
    assert (samples.shape, labels.shape) == ((3, 64), (3,))
    for bad in ((good[0], good[1][:2]), (good[0], good[1] + 10)):
        with pytest.raises(ProtocolError, match=r"participant-0 did not send one label in 0\.\.9 a record"):
            _received(Party(*bad))  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="nothing to train on"):
        _received(Party(good[0][:0], good[1][:0]))  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match=r"samples of shape \(3, 63\)"):
        _received(Party(good[0][:, 1:], good[1]))  # type: ignore[arg-type]
