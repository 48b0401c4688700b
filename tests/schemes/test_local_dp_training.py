"""Local differential privacy of training data: the noise is what epsilon asks for, and learning suffers from it."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]

from ppbench import bundle
from ppbench.data.dataset import unit
from ppbench.data.digits import Digits
from ppbench.errors import ConfigError
from ppbench.report.summary import summary
from ppbench.scheme import TaskFacts
from schemes.local_dp_training import LocalDpTraining
from tests.helpers import measured
from tests.helpers.rare import RARE
from tests.sketches.common import LeastSquares

D = 64
FACTS = TaskFacts("digits", (8, 8), 16.0, 10, 256, 1, 0)


measure = functools.partial(measured.measure, model=LeastSquares(), wire="memory")


def test_what_is_sent_is_the_sample_with_the_noise_that_epsilon_asks_for(tmp_path: Path) -> None:
    scheme = LocalDpTraining(epsilon=128.0, learner="knn")
    record = measure(scheme, tmp_path, 1, n_samples=256)
    view = bundle.load(tmp_path / record.folder / "views" / "coordinator.npz")
    (sent,) = (entry["arrays"][0] for entry in view if entry["name"] == "samples")
    noise = sent - unit(Digits().load().test.samples[:256], 16)
    assert stats.kstest(noise.ravel(), stats.laplace(scale=D / 128).cdf).pvalue > RARE
    # That of the training samples, in the order of the seed.
    train = Digits().load().train
    order = np.random.default_rng(0).permutation(len(train))
    shard = np.concatenate([entry["arrays"][0] for entry in view if entry["name"] == "shard"])
    noise = shard - unit(train.samples[order], 16)
    assert stats.kstest(noise.ravel(), stats.laplace(scale=D / 128).cdf).pvalue > RARE


def test_noise_is_drawn_anew_for_every_vector(tmp_path: Path) -> None:
    scheme = LocalDpTraining(epsilon=10.0, learner="knn")
    shards = []
    for folder in ("one", "other"):
        record = measure(scheme, tmp_path / folder, 1, n_samples=10)
        view = bundle.load(tmp_path / folder / record.folder / "views" / "coordinator.npz")
        shards.append(next(entry["arrays"][0] for entry in view if entry["name"] == "shard"))
    difference = shards[0] - shards[1]
    assert (difference == 0).mean() < 0.01
    assert difference.std() == pytest.approx(2 * D / 10, rel=0.02)


def test_clipping_makes_the_noise_smaller() -> None:
    assert LocalDpTraining(epsilon=10.0).mechanism(FACTS).scale == D / 10
    assert LocalDpTraining(epsilon=10.0, clip=5.0).mechanism(FACTS).scale == 2 * 5 / 10
    assert LocalDpTraining(epsilon=10.0, clip=1e6).mechanism(FACTS).scale == D / 10


def test_the_promise_is_on_record(tmp_path: Path) -> None:
    scheme = LocalDpTraining(epsilon=3.0, clip=10.0, learner="knn")
    promised = scheme.privacy(FACTS)
    assert promised.epsilon == pytest.approx(3)
    assert promised.delta == 0
    assert promised.neighbouring == "any two vectors"
    row = summary([measure(scheme, tmp_path, n_samples=10, n_train_samples=100)]).iloc[0]
    assert (row.epsilon, row.delta) == (pytest.approx(3), 0)


@pytest.mark.parametrize("learner", ["svm", pytest.param("dnn", marks=pytest.mark.slow)])
def test_the_smaller_epsilon_the_poorer_the_accuracy(tmp_path: Path, learner: str) -> None:
    """The claim of the paper's [26]; at 1e5 the noise has a standard deviation of 0.001."""
    accuracies = [
        summary([measure(LocalDpTraining(epsilon=epsilon, learner=learner), tmp_path)]).iloc[0].accuracy
        for epsilon in (1.0, 100.0, 1e5)
    ]
    assert accuracies[0] < 0.2 < accuracies[1] < 0.9 < 0.97 < accuracies[2]


def test_options_that_cannot_be() -> None:
    for epsilon in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=r"scheme\.epsilon="):
            LocalDpTraining(epsilon=epsilon)
    with pytest.raises(ConfigError, match=r"scheme\.clip"):
        LocalDpTraining(clip=-1.0)
