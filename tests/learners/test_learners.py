"""What coordinators train, and the roles around it: what they learn, what they refuse, and what goes missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from ppbench.bundle import Array
from ppbench.data.dataset import Dataset, DatasetSource, Split, TrainingDataset, unit
from ppbench.data.digits import Digits
from ppbench.errors import ConfigError, ProtocolError
from ppbench.learners import LEARNERS, Dnn, Knn, Learner, Svm
from ppbench.learners.roles import LearningCoordinator, PerturbedTraining, PerturbingParticipant, learnt
from ppbench.measure import experiment
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.models.network import Linear, Network
from ppbench.party import Party
from ppbench.records import JobRecord
from ppbench.scheme import Role, SchemeCard, Shard
from tests.sketches.common import LeastSquares, toy_card

D, N_CLASSES = 64, 10


@pytest.fixture(scope="module")
def digits() -> tuple[Array, Array, Array, Array]:
    data = Digits().load()
    return unit(data.train.samples, 16), data.train.labels, unit(data.test.samples, 16), data.test.labels


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_learns(digits: tuple[Array, Array, Array, Array], name: str) -> None:
    samples, labels, asked, truth = digits
    answers = LEARNERS[name]().fit(samples, labels, seed=0)(asked)
    assert answers.dtype == np.uint8
    assert (answers == truth).mean() > 0.95


@pytest.mark.parametrize("learner", [Svm(), Knn(), Dnn()], ids=lambda learner: type(learner).__name__)
def test_the_same_seed_gives_the_same_answers(digits: tuple[Array, Array, Array, Array], learner: Learner) -> None:
    samples, labels, asked, _ = digits
    one, other = (learner.fit(samples[:300], labels[:300], seed=3)(asked) for _ in range(2))
    assert np.array_equal(one, other)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_class_that_nobody_has_is_never_answered(digits: tuple[Array, Array, Array, Array], name: str) -> None:
    samples, labels, asked, truth = digits
    known = (labels != 3) & (labels != 0)
    answers = LEARNERS[name]().fit(samples[known], labels[known], seed=0)(asked)
    assert not np.isin(answers, [0, 3]).any()
    assert (answers == truth)[~np.isin(truth, [0, 3])].mean() > 0.95


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("n", [1, 5])
def test_the_only_class_is_the_answer_to_everything(name: str, n: int) -> None:
    samples = np.random.default_rng(0).random((n, 4), np.float32)
    answers = LEARNERS[name]().fit(samples, np.full(n, 7, np.uint8), seed=0)(samples + 1)
    assert answers.tolist() == [7] * n


def test_decision_values_decide(digits: tuple[Array, Array, Array, Array]) -> None:
    samples, labels, asked, _ = digits
    machine = Svm().fit(samples, labels, seed=0)
    values = machine.decision_values(asked)
    assert values.shape == (len(asked), N_CLASSES * (N_CLASSES - 1) // 2)
    pairs = np.array([(i, j) for i in range(N_CLASSES) for j in range(i + 1, N_CLASSES)])
    winners = np.where(values > 0, pairs[:, 0], pairs[:, 1])
    votes = (winners[:, :, np.newaxis] == np.arange(N_CLASSES)).sum(axis=1)
    assert np.array_equal(votes.argmax(axis=1), machine(asked))
    only = Svm().fit(samples[:1], labels[:1], seed=0)
    assert only.decision_values(asked).shape == (len(asked), 0)


def test_a_learner_draws_nothing_from_what_all_code_shares(digits: tuple[Array, Array, Array, Array]) -> None:
    samples, labels, *_ = digits
    before = str(np.random.get_state())
    for make in LEARNERS.values():
        make().fit(samples[:50], labels[:50], seed=0)
    assert str(np.random.get_state()) == before


class Sender(PerturbingParticipant["Misbehaving"]):
    def perturbed(self, party: Party, samples: Array) -> Array:
        return SAMPLES[self.scheme.samples](party.task.unit(samples))

    def train(self, party: Party, shard: Shard | None) -> None:
        assert shard is not None
        super().train(party, Shard(shard.samples, LABELS[self.scheme.labels](shard.labels)))


def nan_in_one(samples: Array) -> Array:
    spoilt = samples.copy()
    spoilt[:1, 0] = np.nan
    return spoilt


SAMPLES: dict[str, Callable[[Array], Array]] = {
    "well": lambda samples: samples,
    "nan": nan_in_one,
    "narrow": lambda samples: samples[:, 1:],
    "integers": lambda samples: np.rint(samples).astype(np.int32),
    "flat": lambda samples: samples.ravel(),
}
LABELS: dict[str, Callable[[Array], Array]] = {
    "well": lambda labels: labels,
    "outside": lambda labels: labels + np.uint8(1),
    "few": lambda labels: labels[1:],
    "wide": lambda labels: labels.astype(np.int64),
}
TOY = toy_card("Clear training", "nobody", task="training", protects="nothing")


@dataclasses.dataclass(frozen=True)
class Misbehaving(PerturbedTraining):
    """Clear samples, or what should not be sent."""

    name: ClassVar[str] = "misbehaving"
    title: ClassVar[str] = "test: what a participant should not send"
    card: ClassVar[SchemeCard] = TOY
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Sender, "coordinator": LearningCoordinator}

    samples: str = "well"
    labels: str = "well"


@dataclasses.dataclass(frozen=True)
class Few(DatasetSource):
    """Samples of two classes out of three, or of `only` one."""

    name: ClassVar[str] = "few"
    title: ClassVar[str] = "test: few samples"

    n_train: int = 2
    only: int = -1

    def load(self) -> Dataset:
        labels = np.arange(self.n_train, dtype=np.uint8) % 2
        if self.only >= 0:
            labels[:] = self.only
        train = Split(np.eye(2, 4)[labels % 2].astype(np.float32), labels)
        test = Split(np.eye(2, 4, dtype=np.float32)[[0, 1, 0, 1]], np.array([0, 1, 0, 1], np.uint8))
        facts = f"{self.n_train} {self.only}"
        return Dataset("few", train, test, (4,), 1.0, 3, facts, "made here")


@dataclasses.dataclass(frozen=True)
class Zero(LeastSquares):
    """A model for data that cannot be trained on."""

    def train(self, dataset: TrainingDataset, progress: Any) -> Any:
        n_classes, width = dataset.n_classes, dataset.train.samples.shape[1]
        weight, bias = np.zeros((n_classes, width), np.float32), np.zeros(n_classes, np.float32)
        return Network((width,), (Linear(weight, bias),))


def run(scheme: PerturbedTraining, folder: Path, data: DatasetSource | None = None, **task: int) -> JobRecord:
    measure = MeasureOptions(warmup_batches=0, repetitions=1, deadline_s=60)
    job = Job(scheme, data or Digits(), Zero(), TaskOptions(**task), measure, wire="memory")
    return experiment.run(job, folder)


def value(record: JobRecord, stage: str, metric: str) -> float:
    assert record.status == "ok", record.reason
    (found,) = (r.value for r in record.records if (r.stage, r.metric) == (stage, metric))
    return found


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("nan", "values that are not finite"),
        ("narrow", r"float32 \(\d+, 63\) where real numbers \(n, 64\) are due"),
        ("integers", r"int32 \(\d+, 64\)"),
        ("flat", r"float32 \(\d+,\)"),
    ],
)
def test_samples_that_cannot_be_learnt_from_are_refused(tmp_path: Path, how: str, reason: str) -> None:
    record = run(Misbehaving(learner="knn", samples=how), tmp_path, n_participants=2, n_samples=10)
    assert record.status == "failed"
    with pytest.raises(AssertionError, match=reason):
        value(record, "online", "accuracy")
    assert "participant-0 sent" in record.reason


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("outside", r"uint8 \(1297,\) up to 10 where uint8 \(n,\) below 10"),
        ("wide", "labels int64"),
        ("few", "1297 samples with 1296 labels"),
    ],
)
def test_labels_that_cannot_be_learnt_from_are_refused(tmp_path: Path, how: str, reason: str) -> None:
    record = run(Misbehaving(learner="knn", labels=how), tmp_path, n_samples=10)
    with pytest.raises(AssertionError, match=reason):
        value(record, "online", "accuracy")


def test_a_participant_with_an_empty_shard_is_classified_by_what_the_others_know(tmp_path: Path) -> None:
    record = run(Misbehaving(learner="svm"), tmp_path, Few(n_train=2), n_participants=4)
    assert value(record, "online", "accuracy") == 1


def test_where_nobody_has_a_sample_there_is_nothing_to_learn() -> None:
    empty = Shard(np.empty((0, 4), np.float32), np.empty(0, np.uint8))
    with pytest.raises(ProtocolError, match="nothing to learn from"):
        learnt(Knn(), [empty, empty], seed=0)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_class_missing_from_all_shards_is_got_wrong_and_nothing_else(tmp_path: Path, name: str) -> None:
    record = run(Misbehaving(learner=name), tmp_path, Few(n_train=3, only=1), n_participants=2)
    assert value(record, "online", "accuracy") == 0.5


def test_shards_hold_the_number_of_training_samples_asked_for(tmp_path: Path) -> None:
    record = run(Misbehaving(learner="knn"), tmp_path, n_train_samples=101, n_participants=3, n_samples=30)
    assert value(record, "job", "n_train_samples") == 101
    sent = {r.party: r.value for r in record.records if (r.stage, r.metric) == ("train", "message_bytes_sent")}
    per_sample = 4 * D + 1
    assert [sent[f"participant-{i}"] for i in range(3)] == [n * per_sample for n in (34, 34, 33)]


def test_a_large_shard_travels_in_several_messages(tmp_path: Path) -> None:
    record = run(Misbehaving(learner="knn"), tmp_path, n_samples=10)
    sent = {r.party: r.value for r in record.records if (r.stage, r.metric) == ("train", "messages_sent")}
    assert sent["participant-0"] == 3
    assert value(record, "online", "accuracy") == 1


def test_more_training_samples_than_there_are_or_fewer_than_participants_are_refused(tmp_path: Path) -> None:
    record = run(Misbehaving(), tmp_path, n_train_samples=1298)
    assert record.status == "failed"
    assert "task.n_train_samples=1298, but digits has 1297" in record.reason
    with pytest.raises(ConfigError, match=r"leaves some of .* without any"):
        TaskOptions(n_train_samples=2, n_participants=3)
    with pytest.raises(ConfigError, match=r"task\.n_train_samples=0"):
        TaskOptions(n_train_samples=0)


def test_an_unknown_learner_is_refused() -> None:
    with pytest.raises(ConfigError, match="not one of svm, knn, dnn"):
        Misbehaving(learner="tree")
