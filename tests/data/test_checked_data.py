"""What a data set must be: each mistake of a plugin is the reason of its own job, and says field and what is due."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from ppbench import cache
from ppbench.data.checks import checked
from ppbench.data.dataset import Column, Dataset, DatasetSource, Split, TrainingDataset, sha256_of
from ppbench.measure import experiment
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.measure.load import model_key
from ppbench.measure.prepare import prepare_all
from ppbench.models.mlp import Mlp
from ppbench.models.network import Linear, Network
from schemes.local import Local
from schemes.plaintext import Plaintext
from tests.sketches.common import LeastSquares

SENT_LABELS = ("online", "coordinator", "message_bytes_sent")
FEW = MeasureOptions(repetitions=1, warmup_batches=0)


def good() -> Dataset:
    labels = np.arange(12) % 3
    split = Split(np.eye(3, 4)[labels].astype(np.float32), labels)
    return Dataset("made", split, split, (2, 2), 1.0, 3, "twelve samples", "made here")


def raises() -> Any:
    raise ZeroDivisionError("in\nthe plugin")


def in_train(**fields: Any) -> Callable[[], Any]:
    return lambda: dataclasses.replace(good(), train=dataclasses.replace(good().train, **fields))


def in_test(**fields: Any) -> Callable[[], Any]:
    return lambda: dataclasses.replace(good(), test=dataclasses.replace(good().test, **fields))


def facts(**fields: Any) -> Callable[[], Any]:
    return lambda: dataclasses.replace(good(), **fields)


def with_value(value: float) -> np.ndarray:
    samples = good().train.samples.copy()
    samples[3, 1] = value
    return samples


FAULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "nothing": (lambda: None, "what load() gives is NoneType, but must be a Dataset"),
    "raises": (raises, "load() raised ZeroDivisionError: in the plugin"),
    "no split": (facts(test=None), "test is NoneType, but must be a Split"),
    "rank": (
        in_train(samples=np.zeros((12, 2, 2))),
        "train.samples is float64 (12, 2, 2), but must be an array (n, 4) of integers or floats, n from 1 on",
    ),
    "width": (in_test(samples=np.zeros((12, 5))), "test.samples is float64 (12, 5), but must be an array (n, 4)"),
    "list": (in_train(samples=[[0.0] * 4] * 12), "train.samples is list, but must be an array"),
    "empty": (in_test(samples=np.zeros((0, 4)), labels=np.zeros(0, int)), "test.samples is float64 (0, 4), but"),
    "object": (in_train(samples=np.zeros((12, 4), object)), "train.samples is object (12, 4), but"),
    "complex": (in_train(samples=np.zeros((12, 4), complex)), "train.samples is complex128 (12, 4), but"),
    "text": (in_train(samples=np.full((12, 4), "1")), "train.samples is <U1 (12, 4), but"),
    "truth": (in_train(samples=np.zeros((12, 4), bool)), "train.samples is bool (12, 4), but"),
    "quadruple": (in_train(samples=np.zeros((12, 4), np.longdouble)), "(12, 4), but must be an array"),
    "nan": (in_train(samples=with_value(np.nan)), "train.samples is values that are not finite, but must be 0 to"),
    "infinite": (in_test(samples=with_value(np.inf)), "test.samples is values that are not finite, but must be 0 to"),
    "negative": (in_test(samples=with_value(-0.5)), "test.samples is -0.5 to 1.0, but must be 0 to sample_max=1"),
    "beyond": (in_test(samples=with_value(1.5)), "test.samples is 0.0 to 1.5, but must be 0 to sample_max=1"),
    "few labels": (
        in_train(labels=np.zeros(11, int)),
        "train.labels is int64 (11,), but must be an array (12,) of integers, one for each sample",
    ),
    "one-hot": (in_train(labels=np.zeros((12, 3), int)), "train.labels is int64 (12, 3), but must be an array (12,)"),
    "float labels": (in_test(labels=np.zeros(12)), "test.labels is float64 (12,), but must be an array (12,) of int"),
    "from 1 on": (in_test(labels=np.full(12, 3)), "test.labels is 3 to 3, but must be 0 to n_classes - 1 = 2"),
    "below 0": (in_train(labels=np.full(12, -1)), "train.labels is -1 to -1, but must be 0 to n_classes - 1 = 2"),
    "listed labels": (in_test(labels=[0] * 12), "test.labels is list, but must be an array (12,)"),
    "side": (facts(sample_shape=(4, 0)), "sample_shape is (4, 0), but must be a tuple of integers from 1 on"),
    "shape": (facts(sample_shape=4), "sample_shape is 4, but must be a tuple"),
    "no largest": (facts(sample_max=0), "sample_max is 0, but must be a finite number above 0"),
    "nan largest": (facts(sample_max=float("nan")), "sample_max is nan, but"),
    "infinite largest": (facts(sample_max=float("inf")), "sample_max is inf, but"),
    "text largest": (facts(sample_max="1"), "sample_max is '1', but"),
    "no class": (facts(n_classes=0), "n_classes is 0, but must be an integer from 1 on"),
    "half a class": (facts(n_classes=2.5), "n_classes is 2.5, but"),
    "no digest": (facts(sha256=""), "sha256 is '', but must be a text that no other content has"),
    "columns": (facts(columns=(Column("age", ("1",), True),)), "columns is 1 of them, but must be none, or 4"),
}


@dataclasses.dataclass(frozen=True)
class Faulty(DatasetSource):
    """Right but for one thing."""

    name: ClassVar[str] = "faulty"
    title: ClassVar[str] = "test: a data set with a mistake"

    fault: str = ""

    def load(self) -> Dataset:
        return FAULTS[self.fault][0]() if self.fault else good()


def job(fault: str = "", wire: str = "memory") -> Job:
    return Job(Plaintext(), Faulty(fault), LeastSquares(), TaskOptions(batch_size=4), FEW, wire=wire)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_mistake_is_the_jobs_reason(tmp_path: Path, fault: str) -> None:
    record = experiment.run(job(fault), tmp_path)
    assert record.status == "failed"
    assert record.reason.startswith("data set 'faulty': ")
    assert FAULTS[fault][1] in record.reason


def test_a_data_set_without_mistakes_is_measured(tmp_path: Path) -> None:
    """So that the mistakes above are what fails; its labels are wide integers, and travel as bytes."""
    record = experiment.run(job(), tmp_path)
    assert record.status == "ok", record.reason
    sent = [r.value for r in record.records if (r.stage, r.party, r.metric) == SENT_LABELS]
    assert sent == [12]


def test_values_in_another_order_of_bytes_are_turned() -> None:
    swapped = in_train(samples=good().train.samples.astype(">f4")[:, ::-1])()
    samples = checked("made", swapped).train.samples
    assert samples.dtype == np.dtype(np.float32)
    assert samples.flags.c_contiguous
    assert np.array_equal(samples, good().train.samples[:, ::-1])


def test_from_one_split_nobody_reaches_the_other() -> None:
    """A source may cut both from one array, of which a view would still hold all."""
    samples, labels = good().train.samples, (np.arange(12) % 3).astype(np.uint8)
    train, test = Split(samples[:8], labels[:8]), Split(samples[8:], labels[8:])
    cut = checked("made", dataclasses.replace(good(), train=train, test=test))
    for split in (cut.train, cut.test):
        assert split.samples.base is None
        assert split.labels.base is None


def test_a_mistake_is_not_the_end_of_the_other_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PPBENCH_CACHE", str(tmp_path))
    heard: list[str] = []
    prepare_all([job("raises"), job("nan"), job()], lambda what, done, total: heard.append(what))
    assert "fetching faulty" in heard
    assert cache.lookup("model", model_key(LeastSquares(), checked("made", good()).training)) is not None


def test_a_model_that_did_not_converge_is_refused_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PPBENCH_CACHE", str(tmp_path / "cache"))
    record = experiment.run(Job(Local(), Faulty(), Mlp(max_lr=10.0), measure=FEW), tmp_path)
    due = "model=mlp did not converge: its weights are not finite; try a smaller model.max_lr"
    assert (record.status, record.reason) == ("failed", due)
    assert not list((tmp_path / "cache").rglob("*.npz"))


@dataclasses.dataclass(frozen=True)
class Overflowing(LeastSquares):
    """Finite weights whose outputs are not."""

    name: ClassVar[str] = "overflowing"

    def train(self, dataset: TrainingDataset, progress: Any) -> Network:
        wide, narrow = (Linear(np.full((n, 4), 3e38, np.float32), np.zeros(n, np.float32)) for n in (4, 3))
        return Network((4,), (wide, narrow))


def test_a_model_whose_outputs_overflow_is_refused(tmp_path: Path) -> None:
    record = experiment.run(Job(Local(), Faulty(), Overflowing(), measure=FEW), tmp_path)
    due = "model=overflowing did not converge: its outputs are not finite; try another recipe"
    assert (record.status, record.reason) == ("failed", due)


@dataclasses.dataclass(frozen=True)
class Misfit(LeastSquares):
    """What it trains is not for the data set's classes, or is no network."""

    name: ClassVar[str] = "misfit"
    outputs: int = 2

    def train(self, dataset: TrainingDataset, progress: Any) -> Any:
        return Network((4,), (Linear(np.ones((self.outputs, 4)), np.zeros(self.outputs)),)) if self.outputs else None


@pytest.mark.parametrize(
    ("outputs", "due"),
    [(2, "model=misfit has 2 outputs, and"), (0, "model=misfit trains a NoneType")],
)
def test_a_model_that_does_not_fit_the_classes_is_refused(tmp_path: Path, outputs: int, due: str) -> None:
    record = experiment.run(Job(Local(), Faulty(), Misfit(outputs=outputs), measure=FEW), tmp_path)
    assert record.status == "failed"
    assert due in record.reason


def test_a_digest_is_of_any_array() -> None:
    table = np.arange(12.0).reshape(4, 3)
    assert sha256_of(table[:, :-1]) == sha256_of(table[:, :-1].copy())
