"""Random projection at inference: the matrix, the way back, and what retraining and reconstruction are worth."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats  # type: ignore[import-untyped]

from ppbench import bundle
from ppbench.app.report import write_report
from ppbench.data.dataset import unit
from ppbench.data.digits import Digits
from ppbench.errors import ConfigError
from ppbench.privacy.chance import seeded_words
from ppbench.scheme import TaskFacts
from schemes.random_projection import RandomProjection
from schemes.random_projection.projection import gaussian_matrix, matrix_of, width_of
from schemes.random_projection.regression import regression
from tests.helpers import measured
from tests.helpers.measured import row

D = 64
FACTS = TaskFacts("digits", (8, 8), 16.0, 10, 256, 1, 0)
MEAN_IMAGE_MSE = 0.074
"""Of the digits: what one knows without having received anything."""


measure = functools.partial(measured.measure, wire="memory")


def test_the_matrix_is_gaussian_and_keeps_distances_in_the_mean() -> None:
    matrix = gaussian_matrix(200, 50, seeded_words(np.random.default_rng(1)))
    assert matrix.dtype == np.float32
    assert stats.kstest(matrix.ravel(), stats.norm(scale=50**-0.5).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(matrix.T) - np.eye(50)).max() < 0.35
    vectors = np.random.default_rng(2).normal(size=(400, 200))
    ratios = np.square(vectors @ matrix).sum(axis=1) / np.square(vectors).sum(axis=1)
    assert ratios.mean() == pytest.approx(1, abs=0.05)
    assert ratios.std() == pytest.approx((2 / 50) ** 0.5, rel=0.2)


def test_a_secret_stands_for_its_matrix_and_no_secret_for_another_each_time() -> None:
    assert np.array_equal(matrix_of(7, 20, 5), matrix_of(7, 20, 5))
    assert not np.isclose(matrix_of(7, 20, 5), matrix_of(8, 20, 5)).any()
    assert not np.isclose(gaussian_matrix(20, 5), gaussian_matrix(20, 5)).any()


@pytest.mark.parametrize(("ratio", "width"), [(0.1, 6), (0.25, 16), (0.5, 32), (1.0, 64), (1e-9, 1)])
def test_the_width_is_the_share_of_the_dimension(ratio: float, width: int) -> None:
    assert width_of(ratio, FACTS) == width


@pytest.mark.parametrize("ratio", [1.01, 2.0, 0.0, -0.5, float("nan")])
def test_more_values_than_a_sample_has_or_none_are_refused(ratio: float) -> None:
    with pytest.raises(ConfigError, match="k <= d"):
        RandomProjection(ratio=ratio)


@pytest.mark.parametrize("m", [5, 31, 32, 33, 200])
def test_regression_is_ridge_regression_however_many_samples_there_are(m: int) -> None:
    random = np.random.default_rng(m)
    y, x = random.normal(size=(m, 32)), random.normal(size=(m, D))
    back = regression(y, x)
    assert back.shape == (32, D)
    assert back.dtype == np.float32
    gram = y.T @ y
    # The mean eigenvalue is that of the smaller of both Gram matrices.
    ridge = 1e-2 * np.trace(gram) / min(m, 32)
    assert np.allclose(back, np.linalg.solve(gram + ridge * np.eye(32), y.T @ x), atol=1e-5)


def test_bytes_are_those_of_the_projection(tmp_path: Path) -> None:
    scheme = RandomProjection(ratio=0.25, retrain=False)
    full = row(measure(scheme, tmp_path))
    half = row(measure(RandomProjection(ratio=0.25, retrain=False, encoding="float16"), tmp_path))
    assert full.up_message_bytes_per_sample == 4 * D / 4
    assert half.up_message_bytes_per_sample == 2 * D / 4
    assert abs(full.accuracy - half.accuracy) < 0.02
    assert full.setup_down_bytes < 64
    assert full.rounds == 2


def test_participants_share_the_matrix(tmp_path: Path) -> None:
    record = measure(RandomProjection(retrain=False), tmp_path, 1, n_participants=2, n_samples=40)
    view = bundle.load(tmp_path / record.folder / "views" / "coordinator.npz")
    sent = np.concatenate([entry["arrays"][0] for entry in view if entry["name"] == "samples"])
    told = bundle.load(tmp_path / record.folder / "views" / "participant-1.npz")
    (secret,) = (int(entry["arrays"][0]) for entry in told if entry["name"] == "secret")
    clear = unit(Digits().load().test.samples[:40], 16)
    assert np.allclose(sent, clear @ matrix_of(secret, D, 32), atol=1e-5)


def test_regression_beats_the_transpose_and_retraining_beats_none(tmp_path: Path) -> None:
    accuracy = {
        (lift, retrain): row(measure(RandomProjection(ratio=0.25, lift=lift, retrain=retrain), tmp_path)).accuracy
        for lift in ("regression", "transpose")
        for retrain in (True, False)
    }
    assert accuracy["transpose", False] < 0.5 < 0.8 < accuracy["transpose", True]
    assert accuracy["transpose", False] < accuracy["regression", False] < accuracy["regression", True]
    assert accuracy["regression", True] > 0.9


def test_the_coordinator_sees_more_the_more_is_sent(tmp_path: Path) -> None:
    errors = [
        row(measure(RandomProjection(ratio=ratio, retrain=False), tmp_path)).reconstruction_mse
        for ratio in (0.1, 0.25, 0.5, 0.75)
    ]
    written = {path.name for path in write_report(tmp_path)}
    assert {"accuracy_vs_options.png", "reconstruction_vs_options.png"} <= written
    assert MEAN_IMAGE_MSE > errors[0] > errors[1] > errors[2] > errors[3]
    assert errors[2] < 0.2 * MEAN_IMAGE_MSE
    blind = row(measure(RandomProjection(lift="transpose", retrain=False), tmp_path))
    assert pd.isna(blind.reconstruction_mse)


def test_options_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="not one of regression, transpose"):
        RandomProjection(lift="inverse")
    with pytest.raises(ConfigError, match="not one of float32, float16"):
        RandomProjection(encoding="float64")
    with pytest.raises(ConfigError, match=r"scheme\.epochs"):
        RandomProjection(epochs=0)
