"""DP publishing: tables, queries and mechanisms against brute force and theory; then the protocol on Adult."""

from __future__ import annotations

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]

from ppbench import bundle, store
from ppbench.app.report import write_report
from ppbench.data.adult import Adult
from ppbench.data.dataset import Column, Dataset, Split, TrainingDataset
from ppbench.data.digits import Digits
from ppbench.errors import ConfigError, ProtocolError
from ppbench.measure import experiment
from ppbench.measure.job import Job, TaskOptions
from ppbench.privacy.audit import epsilon_lower_bound
from ppbench.records import JobRecord
from ppbench.report.groups import grouped
from ppbench.scheme import TaskFacts
from schemes.dp_publishing import DpPublishing, mechanisms, median
from schemes.dp_publishing.median import Budget, Databases
from schemes.dp_publishing.queries import Table, disjoint, overlapping, table
from tests.helpers import measured
from tests.helpers.rare import RARE
from tests.sketches.common import LeastSquares

TABLE = Table(positions=(0, 2, 3), n_values=(10, 3, 2), n_ranges=(4, 3, 2))
FACTS = TaskFacts("adult", (12,), 255, 2, 16, 1, seed=0)


measure = functools.partial(measured.attempt, dataset=Adult(encoding="codes"), model=LeastSquares())


def values(record: JobRecord) -> dict[str, float]:
    return {r.metric: r.value for r in record.records if r.stage == "job"}


# Tables and queries.


def test_a_histogram_counts_each_record_once() -> None:
    random = np.random.default_rng(0)
    samples = np.column_stack([random.integers(0, n, 500) for n in (10, 7, 3)]).astype(np.uint8)
    labels = random.integers(0, 2, 500).astype(np.uint8)
    found = TABLE.histogram(samples, labels)
    assert found.shape == (24,)
    expected = np.zeros((4, 3, 2), int)
    for sample, label in zip(samples.tolist(), labels.tolist(), strict=True):
        expected[sample[0] * 4 // 10, sample[2], label] += 1
    assert np.array_equal(found, expected.ravel())
    assert Table.from_tree(TABLE.to_tree()) == TABLE
    assert not TABLE.histogram(samples[:0], labels[:0]).any()


def test_a_value_that_there_cannot_be_is_refused() -> None:
    with pytest.raises(ProtocolError, match="a value that its attribute cannot have"):
        TABLE.histogram(np.array([[10, 0, 0]], np.uint8), np.zeros(1, np.uint8))


def test_overlapping_queries_ask_for_ranges_of_some_attributes() -> None:
    queries = overlapping(TABLE, 300, np.random.default_rng(0))
    assert queries.shape == (300, 24)
    assert queries.any(axis=1).all()
    assert not queries.all(axis=1).any()
    for query in queries.reshape(-1, 4, 3, 2):
        sides = [np.asarray(query.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
        box = sides[0][:, None, None] & sides[1][None, :, None] & sides[2][None, None, :]
        assert np.array_equal(query, box), "it is a box"
        assert all(np.abs(np.diff(side.astype(int))).sum() <= 2 for side in sides), "of consecutive ranges"
    assert queries.sum(axis=0).min() > 30, "every record is counted by many of them"


@pytest.mark.parametrize("n_queries", [1, 7, 24])
def test_disjoint_queries_share_out_the_cells(n_queries: int) -> None:
    queries = disjoint(TABLE, n_queries, np.random.default_rng(0))
    assert queries.shape == (n_queries, 24)
    assert (queries.sum(axis=0) == 1).all()
    assert queries.any(axis=1).all()


def dataset(samples: np.ndarray, columns: tuple[Column, ...] = ()) -> TrainingDataset:
    split = Split(samples, np.zeros(len(samples), np.uint8))
    return TrainingDataset("made", split, samples.shape[1:], 16, 2, columns)


def test_attributes_are_found_by_name() -> None:
    ages, sexes = Column("age", tuple(map(str, range(74))), True), Column("sex", ("f", "m"), False)
    people = dataset(np.zeros((1, 2), np.uint8), (ages, sexes))
    assert table(people, ("sex", "label", "age"), 4) == Table((1, 2, 0), (2, 2, 74), (2, 2, 4))
    pixels = dataset(np.zeros((1, 64), np.uint8))
    assert table(pixels, (), 4) == Table((21, 42, 64), (17, 17, 2), (4, 4, 2))
    assert table(pixels, ("3",), 4).positions == (3,)
    with pytest.raises(ConfigError, match="no attribute of made named 'aeg'; did you mean 'age'"):
        table(people, ("aeg",), 4)
    with pytest.raises(ConfigError, match="a table of one cell"):
        table(dataset(np.zeros((1, 1), np.uint8), (Column("one", ("1",), False),)), ("one",), 4)
    with pytest.raises(ConfigError, match="of type float32, not integers"):
        table(dataset(np.zeros((1, 2), np.float32)), (), 4)


# Mechanisms.


def test_laplace_noise_has_the_scale_that_is_claimed() -> None:
    errors = mechanisms.laplace(np.full(20_000, 1000), 0.1) - 1000
    assert stats.kstest(errors, stats.laplace(0, 10).cdf).pvalue > RARE


def test_the_exponential_mechanism_draws_what_its_definition_says() -> None:
    n, count, epsilon, draws = 12, 3, 0.8, 20_000
    drawn = mechanisms.exponential(np.full(draws, count), epsilon, n)
    weights = np.exp(-epsilon / 2 * np.abs(np.arange(n + 1) - count))
    expected = draws * weights / weights.sum()
    assert stats.chisquare(np.bincount(drawn.astype(int), minlength=n + 1), expected).pvalue > RARE


def test_neighbouring_counts_cannot_be_told_apart_better_than_claimed() -> None:
    five, six = np.full(200_000, 5), np.full(200_000, 6)

    def told_apart(one: np.ndarray, other: np.ndarray) -> float:
        return epsilon_lower_bound(one, other, confidence=1 - RARE)

    laplace = told_apart(mechanisms.laplace(five, 1.0), mechanisms.laplace(six, 1.0))
    exponential = told_apart(mechanisms.exponential(five, 1.0, 20), mechanisms.exponential(six, 1.0, 20))
    assert 0.8 < laplace <= 1.0
    assert 0.4 < exponential <= 1.0, "the general mechanism pays for both ends of the range, a count moves one"
    half_the_noise = told_apart(mechanisms.laplace(five, 2.0), mechanisms.laplace(six, 2.0))
    assert half_the_noise > 1.0, "the audit catches it"


# The median mechanism.


def made_up(random: np.random.Generator, n_records: int = 30_000) -> np.ndarray:
    return random.multinomial(n_records, random.dirichlet(np.full(24, 0.5)))


def test_correlated_queries_cost_the_median_mechanism_little() -> None:
    random = np.random.default_rng(0)
    histogram, queries = made_up(random), overlapping(TABLE, 1000, random)
    answers, from_data = median.answered(histogram, queries, Budget(1.0, 32), random)
    assert answers.shape == from_data.shape == (1000,)
    assert 5 <= from_data.sum() <= 32
    errors = np.abs(answers - queries @ histogram)
    laplace = np.abs(mechanisms.laplace(queries @ histogram, 1.0 / 1000) - queries @ histogram)
    assert errors.mean() < laplace.mean() / 3
    assert from_data[:100].sum() > from_data[900:].sum(), "later queries are easy"


def test_hard_answers_have_the_noise_that_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(median, "_EASY", 1e9)
    monkeypatch.setattr(Databases, "keep", lambda *_: None)
    random = np.random.default_rng(0)
    histogram, queries = made_up(random), overlapping(TABLE, 2000, random)
    budget = Budget(50.0, 2000)
    answers, from_data = median.answered(histogram, queries, budget, random)
    assert from_data.all()
    assert budget.answer_scale == 80
    assert stats.kstest(answers - queries @ histogram, stats.laplace(0, 80).cdf).pvalue > RARE


def test_after_the_last_hard_query_the_data_are_not_looked_at() -> None:
    random = np.random.default_rng(0)
    histogram, queries = made_up(random), overlapping(TABLE, 50, random)
    answers, from_data = median.answered(histogram, queries, Budget(1e9, 3), random)
    assert from_data.sum() == 3
    np.testing.assert_allclose(answers[from_data], (queries @ histogram)[from_data], atol=1)


def test_databases_agree_with_the_answers_and_differ_from_one_another() -> None:
    random = np.random.default_rng(0)
    databases = Databases(24, random)
    queries = overlapping(TABLE, 6, random)
    truth = random.dirichlet(np.full(24, 0.5))
    for query in queries:
        databases.keep(query, float(truth @ query), 0.01)
    for query in queries:
        assert np.abs(databases.shares(query) - truth @ query).max() < 0.0101
    everything = databases.shares(np.ones(24, bool))
    np.testing.assert_allclose(everything, 1, atol=1e-9)
    other = databases.shares(np.eye(24, dtype=bool)[3])
    assert other.min() >= 0
    assert other.std() > 0


def test_the_walk_is_uniform_on_what_is_left() -> None:
    """On two cells a database is one number, uniform in the interval that an answer leaves."""
    found = []
    for seed in range(20):
        databases = Databases(2, np.random.default_rng(seed))
        databases.keep(np.array([True, False]), 0.6, 0.1)
        found.append(databases.shares(np.array([True, False])))
    assert stats.kstest(np.concatenate(found), stats.uniform(0.5, 0.2).cdf).pvalue > RARE


def test_answers_that_contradict_one_another_are_survived() -> None:
    databases = Databases(4, np.random.default_rng(0))
    query = np.array([True, True, False, False])
    for share in (0.2, 0.9, -0.3, 1.4):
        databases.keep(query, share, 0.05)
    shares = databases.shares(query)
    assert np.isfinite(shares).all()
    assert -1e-9 <= shares.min() <= shares.max() <= 1 + 1e-9


def test_neighbouring_tables_cannot_be_told_apart_by_the_median_mechanism(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one hard query and the choice of it tell, at epsilon 2; walking is left out, since it sees answers alone."""
    monkeypatch.setattr(median, "_WALK_STEPS", 0)
    monkeypatch.setattr(median, "_N_DATABASES", 2)
    query = np.array([[True, False]])

    def outcomes(histogram: list[int], n: int = 40_000) -> np.ndarray:
        random = np.random.default_rng(0)
        answered = [median.answered(np.array(histogram), query, Budget(2.0, 1), random) for _ in range(n)]
        return np.array([answers[0] if from_data[0] else -1e3 for answers, from_data in answered])

    assert 0.5 < epsilon_lower_bound(outcomes([5, 5]), outcomes([6, 4]), confidence=1 - RARE) <= 2.0


# The promise.


@pytest.mark.parametrize(
    ("options", "scale"),
    [
        ({"mechanism": "laplace"}, 200.0),
        ({"mechanism": "exponential"}, 400.0),
        ({"mechanism": "median"}, 128.0),
        ({"mechanism": "median", "n_queries": 5}, 20.0),
        ({"mechanism": "laplace", "correlated": False}, 4.0),
        ({"mechanism": "laplace", "correlated": False, "n_queries": 1}, 2.0),
    ],
)
def test_epsilon_is_shared_out_among_the_queries(options: dict[str, Any], scale: float) -> None:
    promised = DpPublishing(**{"epsilon": 0.5, "n_queries": 100, **options}).privacy(FACTS)
    assert (promised.epsilon, promised.delta) == (0.5, 0)
    assert promised.noise_scale == pytest.approx(scale)


# The protocol.


@pytest.mark.parametrize("mechanism", ["laplace", "exponential", "median"])
def test_answers_are_published_and_scored_by_the_harness(tmp_path: Path, mechanism: str) -> None:
    scheme = DpPublishing(mechanism=mechanism, n_queries=40, attributes=("age", "sex", "label"))
    record = measure(scheme, tmp_path, n_participants=3)
    assert record.status == "ok", record.reason
    published = bundle.load(tmp_path / record.folder / "published" / "coordinator.npz")
    people = Adult(encoding="codes").load().train
    ranges = [people.samples[:, 0].astype(int) * 4 // 74, people.samples[:, 7], people.labels]
    cells = np.ravel_multi_index([r.astype(int) for r in ranges], (4, 2, 2))
    counts = np.array([np.isin(cells, np.flatnonzero(query)).sum() for query in published["queries"]])
    errors = np.abs(published["answers"] - counts)
    found = values(record)
    assert found["published_mean_absolute_error"] == pytest.approx(errors.mean())
    assert found["published_largest_absolute_error"] == pytest.approx(errors.max())
    assert found["published_answers_from_data"] == published["from_data"].sum()
    assert 10 < errors.mean() < 400
    assert (found["epsilon"], found["delta"]) == (1.0, 0.0)
    assert not any(r.stage == "online" for r in record.records)
    received = [r.value for r in record.records if (r.party, r.metric) == ("curator", "message_bytes_received")]
    assert sum(received) == len(people) * 13 + 40 * 2


def test_queries_that_do_not_overlap_cost_no_more_however_many(tmp_path: Path) -> None:
    scheme = DpPublishing(correlated=False, n_queries=32, attributes=("age", "education", "sex"), epsilon=0.1)
    found = values(measure(scheme, tmp_path))
    assert 8 < found["published_mean_absolute_error"] < 45, "20 on average, where overlapping ones would have 320"


def test_the_error_is_drawn_against_the_number_of_queries(tmp_path: Path) -> None:
    errors = {}
    for n_queries in (1, 8, 64):
        found = values(measure(DpPublishing(n_queries=n_queries, epsilon=0.1), tmp_path))
        errors[n_queries] = found["published_mean_absolute_error"]
    assert errors[64] > errors[8], "about 640 and 80 records"
    assert "released_error_vs_options.png" in {path.name for path in write_report(tmp_path)}
    drawn = [x.median("published_mean_absolute_error") for x in grouped(store.read_all(tmp_path))]
    assert drawn == list(errors.values())


def test_a_result_that_cannot_be_scored_fails_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def score(*_: object) -> dict[str, float]:
        raise KeyError("answers")

    monkeypatch.setattr(DpPublishing, "score", score)
    record = measure(DpPublishing(n_queries=1), tmp_path)
    assert record.status == "failed"
    reason, _, path = record.reason.partition("; traceback in ")
    assert reason == "dp_publishing cannot score its results: KeyError: 'answers'"
    assert path == f"{record.folder}/logs/harness.txt"


# Bad input.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": 0.0}, r"scheme\.epsilon=0\.0 must be finite and above 0"),
        ({"epsilon": -2.0}, r"scheme\.epsilon=-2\.0 must be"),
        ({"epsilon": math.nan}, r"scheme\.epsilon=nan must be"),
        ({"mechanism": "gauss"}, r"scheme\.mechanism='gauss' is not one of laplace, exponential, median"),
        ({"n_queries": 0}, r"scheme\.n_queries=0 must be at least 1"),
        ({"n_ranges": 1}, r"scheme\.n_ranges=1 must be at least 2"),
        ({"n_hard": 0}, r"scheme\.n_hard=0 must be at least 1"),
    ],
)
def test_options_that_promise_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DpPublishing(**options)


def test_what_the_data_cannot_answer_is_refused_before_anything_starts(tmp_path: Path) -> None:
    too_many = measure(DpPublishing(correlated=False, n_queries=9, attributes=("sex", "age")), tmp_path)
    assert too_many.status == "failed"
    assert too_many.reason == "scheme.n_queries=9 cannot be disjoint on a table of 8 cells"
    unknown = measure(DpPublishing(attributes=("zip",)), tmp_path)
    assert "no attribute of adult named 'zip'" in unknown.reason


@dataclasses.dataclass(frozen=True)
class OneDigit(Digits):
    """A single training record."""

    def load(self) -> Dataset:
        data = super().load()
        train = Split(data.train.samples[:1], data.train.labels[:1])
        return dataclasses.replace(data, train=train, sha256="one digit")


def test_a_participant_without_records_is_served(tmp_path: Path) -> None:
    job = Job(DpPublishing(n_queries=2), OneDigit(), LeastSquares(), TaskOptions(n_participants=3))
    record = experiment.run(job, tmp_path)
    assert record.status == "ok", record.reason


def test_a_curator_without_any_record_says_so() -> None:
    from schemes.dp_publishing.scheme import Curator

    class Sender:
        def receive_many(self, name: str) -> tuple[np.ndarray, ...]:
            return np.empty((0, 12), np.uint8), np.empty(0, np.uint8)

    class Party:
        task = FACTS
        participants = (Sender(), Sender())

    curator = Curator(DpPublishing())
    curator.setup(Party(), {"table": TABLE.to_tree()})  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="no participant has a record: there is nothing to count"):
        curator.train(Party(), None)  # type: ignore[arg-type]
