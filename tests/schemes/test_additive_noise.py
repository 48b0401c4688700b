"""The scheme that adds noise, on the zero-download data set: what it answers, sends, promises and refuses."""

from __future__ import annotations

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]

from ppbench.app.config import compose_all, register, to_job
from ppbench.data.digits import Digits
from ppbench.errors import ConfigError, ProtocolError
from ppbench.models.network import Layer, Linear, Network, ReLU
from ppbench.privacy.mechanisms import Gaussian, Laplace
from ppbench.progress import silent
from ppbench.records import JobRecord
from ppbench.scheme import Task, TaskFacts, TrainedModel
from schemes.additive_noise import AdditiveNoise
from schemes.additive_noise.perturbation import ENCODINGS, Perturbation
from tests.helpers import measured
from tests.helpers.measured import arrays_seen, row
from tests.helpers.rare import RARE

FACTS = TaskFacts("digits", (8, 8), 16.0, 10, batch_size=64, n_participants=1, seed=0)
MODERATE = AdditiveNoise(mechanism="gaussian", epsilon=None, noise_scale=0.4)


measure = functools.partial(measured.measure, warmup_batches=1, batch_size=64)


def coordinator_saw(record: JobRecord, folder: Path) -> np.ndarray:
    return np.concatenate([arrays[0] for arrays in arrays_seen(record, folder)])


def clear_samples() -> np.ndarray:
    samples: np.ndarray = Digits().load().test.samples / np.float32(16)
    return samples


def test_with_little_noise_it_answers_as_the_model_does(tmp_path: Path) -> None:
    measured = row(measure(AdditiveNoise(epsilon=1e5), tmp_path))
    assert measured.agreement > 0.99
    assert measured.rounds == 2
    assert measured.up_message_bytes_per_sample == 4 * 64
    assert measured.down_message_bytes_per_sample == 1
    assert measured.setup_down_bytes == 0
    assert max(measured.participant_peak_rss_bytes, measured.coordinator_peak_rss_bytes) < 80e6


@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
def test_where_epsilon_promises_something_answers_are_guesses(tmp_path: Path, mechanism: str) -> None:
    assert row(measure(AdditiveNoise(mechanism=mechanism, epsilon=1.0), tmp_path)).accuracy < 0.3


def test_one_byte_a_value_serves_as_well(tmp_path: Path) -> None:
    one_byte = row(measure(dataclasses.replace(MODERATE, encoding="uint8"), tmp_path))
    assert one_byte.up_message_bytes_per_sample == 64
    # 0.63 on average, as in float32.
    assert one_byte.accuracy > 0.45


@pytest.mark.parametrize(
    ("scheme", "distribution"),
    [(AdditiveNoise(epsilon=100.0), stats.laplace(scale=0.64)), (MODERATE, stats.norm(scale=0.4))],
    ids=["laplace", "gaussian"],
)
def test_the_coordinator_sees_samples_plus_that_noise(tmp_path: Path, scheme: AdditiveNoise, distribution: Any) -> None:
    record = measure(scheme, tmp_path, view_batches=8)
    clear, seen = clear_samples(), coordinator_saw(record, tmp_path)
    assert seen.dtype == np.float32
    assert stats.kstest((seen - clear).ravel(), distribution.cdf).pvalue > RARE
    assert not np.isclose(seen, clear, atol=1e-3).all(axis=1).any()


def test_no_two_participants_and_no_two_passes_share_noise(tmp_path: Path) -> None:
    scheme = AdditiveNoise(epsilon=1.0)
    seen = [coordinator_saw(measure(scheme, tmp_path / str(i), 8, n_participants=2), tmp_path / str(i)) for i in (0, 1)]
    assert len(np.unique(np.concatenate(seen), axis=0)) == 1000


def test_recovery_wins_back_accuracy(tmp_path: Path) -> None:
    accuracy = {
        recovery: row(measure(dataclasses.replace(MODERATE, recovery=recovery), tmp_path)).accuracy
        for recovery in ("none", "denoiser", "fine_tuned")
    }
    # On average 0.63, 0.81 and 0.86.
    assert accuracy["denoiser"] > accuracy["none"] < accuracy["fine_tuned"], accuracy


def test_a_recovery_is_trained_for_what_travels(tmp_path: Path) -> None:
    """Clipped, in one byte, and with the other noise."""
    scheme = AdditiveNoise(epsilon=2000.0, norm="l1", clip=20.0, encoding="uint8", recovery="fine_tuned")
    assert row(measure(scheme, tmp_path)).accuracy > 0.9


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_travels_comes_back(encoding: str) -> None:
    perturbation = Perturbation(Gaussian(0.1), "l1", 0.0, encoding)
    samples = np.linspace(0, 1, 6400, dtype=np.float32).reshape(100, 64)
    packed = perturbation.packed(samples)
    assert packed.dtype == encoding
    read = perturbation.unpacked(packed)
    assert read.dtype == np.float32
    assert (read - samples).std() == pytest.approx(0.1, rel=0.1)
    assert packed[:0].shape == (0, 64)


def test_in_one_byte_the_range_says_nothing_of_the_sample() -> None:
    """It comes from the options alone: the outermost values stand for 4 scales beyond 0 and 1."""
    perturbation = Perturbation(Laplace(0.5), "l1", 0.0, "uint8")
    assert perturbation.unpacked(np.array([[0, 255]], np.uint8)) == pytest.approx(np.array([[-2, 3]]))
    assert {int(value) for value in perturbation.packed(np.zeros((500, 64), np.float32)).ravel()} >= {0, 255}


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.01, 1.01])
def test_a_sample_outside_the_calibrated_range_does_not_leave(value: float) -> None:
    samples = np.zeros((3, 64), np.float32)
    samples[1, 5] = value
    for perturbation in (AdditiveNoise().perturbation(FACTS), AdditiveNoise(clip=1.0).perturbation(FACTS)):
        with pytest.raises(ProtocolError, match="the noise is calibrated for 0 to 1"):
            perturbation.packed(samples)


def test_a_message_in_another_encoding_is_refused() -> None:
    perturbation = AdditiveNoise(encoding="uint8").perturbation(FACTS)
    with pytest.raises(ProtocolError, match="encoded as uint8 are awaited, but they are float32"):
        perturbation.unpacked(np.zeros((1, 64), np.float32))


def test_a_batch_without_samples() -> None:
    assert AdditiveNoise().perturbation(FACTS).packed(np.zeros((0, 64), np.float32)).shape == (0, 64)


def test_what_is_promised() -> None:
    laplace = AdditiveNoise(epsilon=100.0).privacy(FACTS)
    assert (laplace.epsilon, laplace.delta) == (100, 0)
    assert laplace.noise_scale == pytest.approx(0.64)
    assert laplace.neighbouring == "any two samples"
    gaussian = AdditiveNoise(mechanism="gaussian", epsilon=100.0, delta=1e-6).privacy(FACTS)
    assert gaussian.epsilon == pytest.approx(100)
    assert gaussian.delta == 1e-6
    direct = AdditiveNoise(mechanism="gaussian", epsilon=None, noise_scale=gaussian.noise_scale, delta=1e-6)
    assert direct.privacy(FACTS).epsilon == pytest.approx(100)
    assert AdditiveNoise(epsilon=None, noise_scale=0.64).privacy(FACTS).epsilon == pytest.approx(100)


def test_clipping_needs_less_noise() -> None:
    def scale(**options: Any) -> float:
        return AdditiveNoise(epsilon=100.0, **options).privacy(FACTS).noise_scale

    assert scale(clip=8.0) == pytest.approx(scale() / 4)
    assert scale(clip=1000.0) == scale()
    of_gaussian = scale(mechanism="gaussian", norm="l2", clip=2.0) / scale(mechanism="gaussian")
    assert of_gaussian == pytest.approx(math.sqrt(2) * 2 / 8)


def test_only_what_training_depends_on_is_prepared_anew() -> None:
    def key(**options: Any) -> Any:
        return AdditiveNoise(**options).prepare_key(FACTS)

    assert key(epsilon=1.0) == key(epsilon=10.0, encoding="uint8", mechanism="gaussian")
    tuned: dict[str, Any] = {"recovery": "fine_tuned"}
    assert key(epsilon=100.0, **tuned) == key(epsilon=None, noise_scale=0.64, **tuned)
    others: list[dict[str, Any]] = [
        {"epsilon": 1.0},
        {"encoding": "uint8"},
        {"clip": 30.0},
        {"epochs": 1},
        {"mechanism": "gaussian"},
    ]
    assert all(key(**tuned, **other) != key(**tuned) for other in others)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"epsilon": 0.0}, r"scheme\.epsilon=0\.0 must be from 1e-06 to 1e\+09"),
        ({"epsilon": -1.0}, r"scheme\.epsilon=-1\.0 must be from"),
        ({"epsilon": math.nan}, r"scheme\.epsilon=nan must be from"),
        ({"epsilon": None, "noise_scale": 0.0}, r"scheme\.noise_scale=0\.0 must be from 1e-09 to 1e\+09"),
        ({"epsilon": None, "noise_scale": math.nan}, r"scheme\.noise_scale=nan must be from"),
        ({"noise_scale": 0.5}, r"scheme\.epsilon=1000\.0 and scheme\.noise_scale=0\.5: one of them must be a number"),
        ({"epsilon": None}, r"scheme\.epsilon=None and scheme\.noise_scale=None: one of them must be a number"),
        ({"delta": 0.0}, r"scheme\.delta=0\.0 must be above 0 and below 1"),
        ({"delta": 1.0}, r"scheme\.delta=1\.0 must be above 0 and below 1"),
        ({"delta": math.nan}, r"scheme\.delta=nan must be above 0 and below 1"),
        ({"clip": -1.0}, r"scheme\.clip=-1\.0 must be from 0 to"),
        ({"clip": math.nan}, r"scheme\.clip=nan must be from 0 to"),
        ({"mechanism": "uniform"}, r"scheme\.mechanism='uniform' is not one of laplace, gaussian"),
        ({"norm": "l3"}, r"scheme\.norm='l3' is not one of l1, l2"),
        ({"encoding": "float16"}, r"scheme\.encoding='float16' is not one of float32, uint8"),
        ({"recovery": "magic"}, r"scheme\.recovery='magic' is not one of none, denoiser, fine_tuned"),
        ({"epochs": 0}, r"scheme\.epochs=0 must be at least 1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        AdditiveNoise(**options)


def task_with(layers: tuple[Layer, ...], sample_shape: tuple[int, ...] = (8, 8)) -> Task:
    model = TrainedModel("untrained", Network((64,), layers), {})
    return Task(dataclasses.replace(FACTS, sample_shape=sample_shape), Digits().load().training, model, silent)


def test_recoveries_that_cannot_go_with_the_task_are_refused() -> None:
    linear = Linear(np.zeros((10, 64), np.float32), np.zeros(10, np.float32))
    AdditiveNoise(recovery="fine_tuned").check(task_with((linear,), (64,)))
    with pytest.raises(ConfigError, match=r"denoiser' needs images, not samples of shape \(64,\)"):
        AdditiveNoise(recovery="denoiser").check(task_with((linear,), (64,)))
    AdditiveNoise(recovery="denoiser").check(task_with((ReLU(), linear)))
    with pytest.raises(ConfigError, match="needs a model whose first layer has weights, not ReLU"):
        AdditiveNoise(recovery="fine_tuned").check(task_with((ReLU(), linear)))


def test_the_experiment_composes() -> None:
    register()
    jobs = [to_job(config) for config in compose_all(["+experiment=additive_noise"]).jobs]
    schemes = [job.scheme for job in jobs if isinstance(job.scheme, AdditiveNoise)]
    assert {scheme.epsilon for scheme in schemes} >= {1.0, 10.0, 100.0, 1000.0, 10000.0}
    assert {scheme.noise_scale for scheme in schemes} >= {0.1, 0.2, 0.3, 0.5, 0.7, 1.0}
    assert {scheme.recovery for scheme in schemes} == {"none", "denoiser", "fine_tuned"}
    assert len({job.id for job in jobs}) == len(jobs)
