"""Rotation perturbation: the matrix is uniform, what classifiers decide does not change, and what does change it."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from ppbench import bundle
from ppbench.bundle import Array
from ppbench.data.dataset import Split, unit
from ppbench.data.digits import Digits
from ppbench.errors import ConfigError
from ppbench.learners import Knn, Svm
from ppbench.learners.knn import N_NEIGHBOURS
from ppbench.learners.svm import SCALE
from ppbench.privacy.chance import seeded_words
from ppbench.report.summary import summary
from schemes.rotation import Rotation
from schemes.rotation.haar import haar_matrix
from tests.helpers import measured
from tests.sketches.common import LeastSquares

D, N_CLASSES = 64, 10
WIRES = [("float64", 1e-10), ("float32", 1e-3)]
"""What values travel as, and how far decision values may be from those of clear samples."""
GAMMA = 0.02


@pytest.fixture(scope="module")
def clear() -> tuple[Split, Array]:
    """Training samples and test samples, float64 in [0, 1]."""
    data = Digits().load()
    samples, asked = (unit(split.samples, 16).astype(np.float64) for split in (data.train, data.test))
    return Split(samples, data.train.labels), asked


@pytest.fixture(scope="module")
def rotation() -> Array:
    return haar_matrix(D, seeded_words(np.random.default_rng(5)))


measure = functools.partial(measured.measure, model=LeastSquares(), wire="memory")


def test_the_matrix_is_orthogonal(rotation: Array) -> None:
    assert np.allclose(rotation @ rotation.T, np.eye(D), atol=1e-13)
    assert not np.array_equal(haar_matrix(8), haar_matrix(8))


def test_the_matrix_is_uniform_over_all_orthogonal_ones() -> None:
    """Moments of Haar's measure (Diaconis & Shahshahani 1994): E tr Q = 0, E (tr Q)^2 = 1, E tr Q^2 = 1, and half of
    all matrices reflect. Without the correction of signs, E tr Q^2 is another.
    """
    words = seeded_words(np.random.default_rng(0))
    drawn = np.array([haar_matrix(6, words) for _ in range(4000)])
    traces = drawn.trace(axis1=1, axis2=2)
    assert abs(traces.mean()) < 0.06
    assert abs(np.square(traces).mean() - 1) < 0.09
    assert abs((drawn @ drawn).trace(axis1=1, axis2=2).mean() - 1) < 0.09
    assert abs((np.linalg.det(drawn) > 0).mean() - 0.5) < 0.03
    assert abs(np.square(drawn).mean(axis=0) - 1 / 6).max() < 0.02


@pytest.mark.parametrize(("wire", "margin"), WIRES)
def test_an_svm_decides_as_on_clear_samples(
    clear: tuple[Split, Array], rotation: Array, wire: str, margin: float
) -> None:
    train, asked = clear
    sent = (train.samples @ rotation).astype(wire)
    own, turned = (Svm(GAMMA).fit(samples, train.labels, seed=0) for samples in (train.samples, sent))
    values, turned_values = own.decision_values(asked), turned.decision_values((asked @ rotation).astype(wire))
    assert np.abs(values - turned_values).max() < margin
    outside = np.abs(values).min(axis=1) > margin
    assert outside.mean() > 0.9
    assert np.array_equal(own(asked)[outside], turned((asked @ rotation).astype(wire))[outside])


@pytest.mark.parametrize(("wire", "margin"), WIRES)
def test_neighbours_are_those_of_clear_samples(
    clear: tuple[Split, Array], rotation: Array, wire: str, margin: float
) -> None:
    train, asked = clear
    turned_asked = (asked @ rotation).astype(wire)
    sent = (train.samples @ rotation).astype(wire)
    own, turned = (Knn().fit(samples, train.labels, seed=0) for samples in (train.samples, sent))
    distances = own.distances(asked, N_NEIGHBOURS + 1)
    assert np.abs(distances - turned.distances(turned_asked, N_NEIGHBOURS + 1)).max() < margin
    # Who the neighbours are is open only where the next one is as near as the last.
    outside = distances[:, -1] - distances[:, -2] > margin
    assert outside.mean() > 0.9
    assert np.array_equal(own(asked)[outside], turned(turned_asked)[outside])


def test_gamma_scale_is_not_invariant(clear: tuple[Split, Array], rotation: Array) -> None:
    """scikit-learn's X.var() is over all values around one common mean. The mean square of all values stays as it is
    when samples are rotated, the common mean does not; so neither do gamma, kernel and decision values.
    """
    train, asked = clear
    turned_samples = train.samples @ rotation
    own = Svm(SCALE).fit(train.samples, train.labels, seed=0).decision_values(asked)
    turned = Svm(SCALE).fit(turned_samples, train.labels, seed=0).decision_values(asked @ rotation)
    assert np.abs(own - turned).max() > 0.05
    assert np.square(train.samples).mean() == pytest.approx(np.square(turned_samples).mean())
    assert train.samples.var() < 0.9 * turned_samples.var()
    # With the gamma that scikit-learn finds for clear samples, written as a number, all is as it should be.
    gamma = 1 / (D * train.samples.var())
    numeric = Svm(gamma).fit(turned_samples, train.labels, seed=0).decision_values(asked @ rotation)
    assert np.abs(own - numeric).max() < 1e-10


def test_scaling_each_feature_is_not_invariant(clear: tuple[Split, Array], rotation: Array) -> None:
    train, asked = clear
    turned = Split(train.samples @ rotation, train.labels)

    def standardized(own: Split, samples: Array) -> Array:
        scaled: Array = (samples - own.samples.mean(axis=0)) / (own.samples.std(axis=0) + 1e-9)
        return scaled

    one = Svm(GAMMA).fit(standardized(train, train.samples), train.labels, seed=0)
    other = Svm(GAMMA).fit(standardized(turned, turned.samples), train.labels, seed=0)
    values = one.decision_values(standardized(train, asked))
    turned_values = other.decision_values(standardized(turned, asked @ rotation))
    assert np.abs(values - turned_values).max() > 0.1


@pytest.mark.parametrize("learner", ["svm", "knn"])
@pytest.mark.parametrize("encoding", ["float64", "float32"])
def test_a_job_answers_as_without_protection(
    tmp_path: Path, clear: tuple[Split, Array], learner: str, encoding: str
) -> None:
    train, asked = clear
    record = measure(Rotation(learner=learner, encoding=encoding), tmp_path, n_participants=3)
    row = summary([record]).iloc[0]
    truth = Digits().load().test.labels
    if learner == "svm":
        n_right, n_open = (Svm(GAMMA).fit(train.samples, train.labels, seed=0)(asked) == truth).sum(), 0
    else:
        neighbours = Knn().fit(train.samples, train.labels, seed=0)
        *_, last, following = neighbours.distances(asked, N_NEIGHBOURS + 1).T
        # Digits have 17 grey levels, so some neighbours are equally far; then their order in the shards decides.
        n_right, n_open = (neighbours(asked) == truth).sum(), (following - last < 1e-3).sum()
    assert n_open < 0.05 * len(truth)
    assert abs(row.accuracy * len(truth) - n_right) <= n_open
    n_bytes = np.dtype(encoding).itemsize
    assert row.up_message_bytes_per_sample == D * n_bytes
    assert row.train_up_bytes * 3 == pytest.approx(row.n_train_samples * (D * n_bytes + 1), rel=0.01)


def test_all_participants_turn_by_the_same_matrix_and_the_coordinator_has_not_got_it(tmp_path: Path) -> None:
    record = measure(Rotation(learner="knn", encoding="float64"), tmp_path, 1, n_participants=2, n_samples=20)
    view = bundle.load(tmp_path / record.folder / "views" / "coordinator.npz")
    sent = [entry["arrays"][0] for entry in view if entry["name"] == "samples"]
    asked = unit(Digits().load().test.samples[:20], 16).astype(np.float64)
    assert np.allclose(np.concatenate(sent) @ np.concatenate(sent).T, asked @ asked.T, atol=1e-12)
    assert not np.allclose(np.concatenate(sent), asked, atol=0.1)
    assert {entry["name"] for entry in view} == {"shard labels", "shard", "samples"}


def test_options_that_cannot_be() -> None:
    for gamma in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=r"scheme\.gamma="):
            Rotation(gamma=gamma)
    with pytest.raises(ConfigError, match="not one of float32, float64"):
        Rotation(encoding="float16")
