"""Labels beyond one byte: 300 classes, which every scheme tells apart as well as its model does."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from ppbench.data.dataset import Dataset, DatasetSource, Split, label_type, sha256_of
from ppbench.errors import ConfigError
from ppbench.learners import LEARNERS
from ppbench.measure import experiment
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.models.square import SquareTutorial
from ppbench.report.summary import summary
from ppbench.scheme import Scheme, TaskFacts
from schemes.additive_noise import AdditiveNoise
from schemes.barni import Barni
from schemes.cryptonets import CryptoNets
from schemes.local import Local
from schemes.mpc import Mpc
from schemes.obfnet import ObfNet
from schemes.plaintext import Plaintext
from schemes.random_projection import ProjectionTraining, RandomProjection
from schemes.rotation import Rotation
from tests.sketches.common import LeastSquares

N_CLASSES = 300


@dataclasses.dataclass(frozen=True)
class ManyClasses(DatasetSource):
    """One bright value in a sample, and where it is, is its class."""

    name: ClassVar[str] = "many_classes"
    title: ClassVar[str] = "test: 300 classes"

    n_classes: int = N_CLASSES

    def load(self) -> Dataset:
        random = np.random.default_rng(0)

        def split(each: int) -> Split:
            labels = random.permutation(np.repeat(np.arange(self.n_classes), each))
            samples = np.eye(self.n_classes)[labels] * 200 + random.integers(0, 20, (len(labels), self.n_classes))
            return Split(samples.astype(np.uint8), labels)

        train, test = split(4), split(1)
        digest = sha256_of(train.samples, test.samples)
        return Dataset(self.name, train, test, (self.n_classes,), 255, self.n_classes, digest, "made here")


def run(scheme: Scheme, folder: Path, n_classes: int = N_CLASSES) -> pd.Series:
    task, measure = TaskOptions(batch_size=100), MeasureOptions(repetitions=1, warmup_batches=0)
    wire = "tcp" if isinstance(scheme, Mpc) else "memory"  # MPC's engine has sockets, and they are counted apart
    record = experiment.run(Job(scheme, ManyClasses(n_classes), LeastSquares(), task, measure, wire=wire), folder)
    assert record.status == "ok", record.reason
    measured: pd.Series = summary([record]).iloc[0]
    return measured


@pytest.mark.parametrize(("n_classes", "n_bytes"), [(256, 1), (257, 2), (N_CLASSES, 2)])
def test_a_label_has_as_many_bytes_as_the_classes_need(tmp_path: Path, n_classes: int, n_bytes: int) -> None:
    row = run(Plaintext(), tmp_path, n_classes)
    assert row.accuracy == row.accuracy_plaintext == 1
    assert row.down_message_bytes_per_sample == n_bytes
    assert label_type(n_classes).itemsize == n_bytes


@pytest.mark.parametrize(
    "scheme",
    [
        Local(),
        ObfNet(hidden=(), epochs=1, raw_fraction=1.0),  # raw: an ObfNet this small cannot tell 300 apart
        AdditiveNoise(epsilon=1e6),
        RandomProjection(ratio=0.9, retrain=False),
        Barni(),
        Mpc(reveal="argmax"),
        Rotation(learner="knn"),
        Rotation(learner="svm"),
        Rotation(learner="dnn"),
        ProjectionTraining(learner="knn", ratio=0.9),
    ],
    ids=lambda scheme: f"{scheme.name} {scheme.variant()}",
)
def test_a_scheme_tells_all_classes_apart(tmp_path: Path, scheme: Scheme) -> None:
    """Labels that wrap at 256 are wrong for 44 of 300 classes."""
    row = run(scheme, tmp_path)
    assert row.accuracy_plaintext == 1
    assert row.accuracy > 0.98


@pytest.mark.parametrize(("packing", "room"), [("latency", 64), ("throughput", 255)])
def test_a_scheme_without_room_for_all_classes_says_so_first(packing: str, room: int) -> None:
    facts = TaskFacts("many", (28, 28), 255, N_CLASSES, 1, 1, 0)
    network = SquareTutorial().architecture((28, 28), N_CLASSES)
    scheme = CryptoNets(packing=packing)
    with pytest.raises(ConfigError, match=f"scheme.packing={packing} has room for {room} classes, not {N_CLASSES}$"):
        scheme.module.check(scheme, network, facts)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_answers_in_the_type_of_the_labels(name: str) -> None:
    samples, labels = np.eye(3, dtype=np.float32), np.array([7, 260, 299], np.uint16)
    answers = LEARNERS[name]().fit(samples.repeat(9, axis=0), labels.repeat(9), seed=0)(samples)
    assert answers.dtype == np.uint16
    assert answers.tolist() == labels.tolist()
    only = LEARNERS[name]().fit(samples[:1], labels[2:], seed=0)(samples)
    assert only.dtype == np.uint16
    assert only.tolist() == [299] * 3
