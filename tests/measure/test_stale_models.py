"""A model, and what a scheme prepares, are kept by what they were made from, whatever the data set calls itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from ppbench.bundle import Array, Tree
from ppbench.data.dataset import Dataset, DatasetSource, Split
from ppbench.measure import experiment
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.records import JobRecord
from ppbench.scheme import FinishedTask, Scheme, Task, TaskFacts
from schemes.plaintext import Plaintext
from tests.broken.sound import Sound
from tests.sketches.common import LeastSquares

FORMS = {
    "plain": {},
    "relabelled": {"shift": 1},
    "stretched": {"sample_max": 8.0},
    "wider": {"dtype": "float64", "shift": 2},
}


@dataclasses.dataclass(frozen=True)
class Careless(DatasetSource):
    """Its options change the samples, and its digest never changes."""

    name: ClassVar[str] = "careless"
    title: ClassVar[str] = "test: one digest for all"

    shift: int = 0
    sample_max: float = 1.0
    dtype: str = "float32"
    n_train: int = 30
    n_test: int = 12

    def load(self) -> Dataset:
        train, test = self.split(self.n_train), self.split(self.n_test)
        return Dataset(self.name, train, test, (3,), self.sample_max, 3, "0" * 64, "made here")

    def split(self, n: int) -> Split:
        classes = np.arange(n) % 3
        samples = np.eye(3)[classes] * self.sample_max
        return Split(samples.astype(self.dtype), ((classes + self.shift) % 3).astype(np.uint8))


def run(folder: Path, data: DatasetSource, scheme: Scheme, **task: int) -> JobRecord:
    measure = MeasureOptions(repetitions=1, warmup_batches=0)
    record = experiment.run(Job(scheme, data, LeastSquares(), TaskOptions(**task), measure, wire="memory"), folder)
    assert record.status == "ok", record.reason
    return record


def value(record: JobRecord, metric: str) -> float:
    (found,) = (one.value for one in record.records if one.metric == metric and one.stage in ("job", "online"))
    return found


def test_a_model_trained_on_other_samples_of_the_same_digest_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PPBENCH_CACHE", str(tmp_path / "cache"))
    for options in FORMS.values():
        record = run(tmp_path, Careless(**options), Plaintext())  # type: ignore[arg-type]
        assert (value(record, "accuracy_plaintext"), value(record, "accuracy")) == (1.0, 1.0)
        assert record.provenance.data_sha256 == "0" * 64
    assert len(list((tmp_path / "cache" / "model").glob("*.npz"))) == len(FORMS)
    run(tmp_path, Careless(n_test=6), Plaintext())
    assert len(list((tmp_path / "cache" / "model").glob("*.npz"))) == len(FORMS), "no test sample decides a weight"


@dataclasses.dataclass(frozen=True)
class PreparesFromShards(Sound):
    """What it prepares depends on what the shards hold."""

    name: ClassVar[str] = "from_shards"

    def prepare_key(self, facts: TaskFacts) -> Mapping[str, Any]:
        return {}

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        return {**super().prepare(task), "participant": {"n": task.n_dealt}}

    def score(self, task: FinishedTask, published: Mapping[str, Mapping[str, Array]]) -> Mapping[str, float]:
        return {"n_test": len(task.test)}


def test_what_was_prepared_for_other_shards_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PPBENCH_CACHE", str(tmp_path / "cache"))
    for n_train_samples in (12, 24):
        record = run(tmp_path, Careless(), PreparesFromShards(), n_train_samples=n_train_samples)
        assert value(record, "published_n_test") == 12, "who scores what is over sees the test split"
    assert len(list((tmp_path / "cache" / "prepared").glob("*.npz"))) == 2
