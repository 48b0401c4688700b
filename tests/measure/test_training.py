"""Training is a stage like any other: its steps are counted, on links it takes time, and its rounds are told apart."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from ppbench.app.report import write_report
from ppbench.records import JobRecord, tidy
from ppbench.report.costs import text_table
from ppbench.report.groups import grouped
from ppbench.report.summary import summary
from ppbench.report.training_curves import training_curves
from ppbench.scheme import COORDINATOR, Role
from ppbench.testing import check_scheme
from tests.helpers import measured
from tests.helpers.measured import row, value
from tests.sketches.common import LeastSquares
from tests.sketches.federated_averaging import Coordinator, FederatedAveraging, Participant
from tests.sketches.secure_aggregation import SecureAggregation

MODEL_BYTES = 4 * (64 + 1) * 10
NUMBER_BYTES, COUNT_BYTES = 2, 4

measure = functools.partial(measured.measure, model=LeastSquares(), wire="memory", n_samples=10)


def by_round(record: JobRecord) -> pd.DataFrame:
    """The values that are of one training round, each with its round as the index."""
    table = tidy([record])
    return table[table.training_round.notna()].set_index("training_round")


@pytest.mark.parametrize("n_training_rounds", [5, 20])
def test_the_steps_of_training_are_counted_from_its_own_begin(tmp_path: Path, n_training_rounds: int) -> None:
    record = measure(FederatedAveraging(n_training_rounds=n_training_rounds), tmp_path, n_participants=2)
    # A model down and an update up in each training round, and the trained model down at the end.
    assert value(record, "setup", "rounds") == 0
    assert value(record, "online", "rounds") == 1
    told = row(record)
    assert (told.rounds, told.setup_rounds, told.train_rounds) == (1, 0, 2 * n_training_rounds + 1)
    assert told.n_training_rounds == n_training_rounds
    assert f" {2 * n_training_rounds + 1} |" in text_table([record])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `chosen` is."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def chosen(folder: Path) -> JobRecord:
    """Six training rounds, two of four participants in each."""
    return measure(FederatedAveraging(n_training_rounds=6, n_chosen=2), folder, wire="tcp", n_participants=4)


def test_a_training_round_has_the_bytes_of_those_who_took_part_in_it(chosen: JobRecord) -> None:
    rounds = by_round(chosen)
    assert sorted(set(rounds.index)) == list(range(6))
    took_part = set()
    for number in range(6):
        of_round = rounds.loc[number].set_index(["metric", "party"]).value.sort_index()
        for way, n_bytes in (("sent", MODEL_BYTES + COUNT_BYTES), ("received", MODEL_BYTES + NUMBER_BYTES)):
            messages, parties = of_round[f"message_bytes_{way}"], of_round[f"messages_{way}"]
            devices = [party for party in parties.index.unique() if party != COORDINATOR]
            assert len(devices) == 2
            assert [messages[device] for device in devices] == [n_bytes] * 2
            assert [parties[device] for device in devices] == [1] * 2
            took_part |= set(devices)
        # Beside its two peers the coordinator exchanged nothing, and what one sent is what the other received.
        for level in ("message", "payload"):
            for way, other in (("sent", "received"), ("received", "sent")):
                at_coordinator = of_round[f"{level}_bytes_{way}"][[COORDINATOR]]
                assert sorted(at_coordinator) == sorted(of_round[f"{level}_bytes_{other}"][devices])
    assert len(took_part) > 2


def test_training_rounds_add_up_to_the_stage_but_for_what_comes_after_the_last(chosen: JobRecord) -> None:
    rounds = by_round(chosen).reset_index()
    table = tidy([chosen])
    stage = table[(table.stage == "train") & table.training_round.isna()]

    def totals(values: pd.DataFrame, metric: str) -> dict[str, float]:
        return dict(values[values.metric == metric].groupby("party").value.sum())

    # The kernel's count of the stage, the channels' of the rounds.
    whole, parts = totals(stage, "payload_bytes_sent"), totals(rounds, "payload_bytes_sent")
    for party in (f"participant-{i}" for i in range(4)):
        assert whole[party] == parts.get(party, 0)
    n_after = whole[COORDINATOR] - parts[COORDINATOR]
    assert 4 * MODEL_BYTES < n_after < 4 * (MODEL_BYTES + 50)
    for metric in ("cpu_s", "wall_s", "channel_cpu_s"):
        for party, seconds in totals(rounds, metric).items():
            assert 0 < seconds <= totals(stage, metric)[party]
    assert list(rounds[rounds.metric == "rounds"].value) == [2] * 6
    assert value_of(stage, "rounds") == 2 * 6 + 1


def value_of(table: pd.DataFrame, metric: str) -> float:
    (found,) = table[table.metric == metric].value
    return float(found)


def test_what_a_round_published_is_scored_by_the_harness_round_by_round(chosen: JobRecord) -> None:
    rounds = by_round(chosen)
    accuracies = rounds[rounds.metric == "published_accuracy"].value
    assert list(accuracies.index) == list(range(6))
    assert len(set(accuracies)) > 1
    assert accuracies.iloc[-1] == value(chosen, "job", "published_accuracy") == row(chosen).published_accuracy
    assert 0.5 < accuracies.iloc[-1] <= 1


def test_rounds_are_in_no_figure_of_the_whole_stage(chosen: JobRecord) -> None:
    without = chosen.model_copy(update={"records": [r for r in chosen.records if r.training_round is None]})
    pd.testing.assert_frame_equal(summary([chosen]), summary([without]))


def test_the_report_draws_training_round_by_round(folder: Path, chosen: JobRecord) -> None:
    assert folder / "figures/training_curves.png" in write_report(folder)
    image = imread(folder / "figures/training_curves.png")
    assert image.shape[1] == 1432
    edges = [image[0], image[-1], image[:, 0], image[:, -1]]
    assert all(np.allclose(edge, 1) for edge in edges), "something is cut off at an edge"
    text = (folder / "figures/training_curves.svg").read_text()
    for told in ("training round", "accuracy", "upload so far", "CPU time so far", chosen.scheme):
        assert told in text


def test_one_training_round_is_no_curve(tmp_path: Path) -> None:
    record = measure(FederatedAveraging(n_training_rounds=1), tmp_path)
    assert row(record).n_training_rounds == 1
    assert training_curves(grouped([record])) is None


def test_rounds_keep_no_check_from_holding_views_against_the_kernels_counts() -> None:
    scheme = FederatedAveraging(n_training_rounds=2)
    (result,) = check_scheme(scheme, only=["views_account_for_every_byte"], model=LeastSquares())
    assert result.passed, result.detail


class LateCoordinator(Coordinator["Late"]):
    """Ends a round where there is none, or under a number that was."""

    def train(self, party: Any, shard: Any) -> None:
        super().train(party, shard)
        if self.scheme.wrong == "number":
            party.round_ended(1)
        if self.scheme.wrong == "type":
            party.round_ended("last")

    def online(self, party: Any, batch: Any) -> None:
        super().online(party, batch)
        if self.scheme.wrong == "stage":
            party.round_ended()


@dataclasses.dataclass(frozen=True)
class Late(FederatedAveraging):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, COORDINATOR: LateCoordinator}

    wrong: str = ""


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("number", "coordinator failed in train: coordinator ends training round 1, which is not above 2"),
        ("type", "coordinator failed in train: coordinator ends training round 'last': a whole number is due"),
        ("stage", "coordinator failed in online: coordinator ends a training round outside of train"),
    ],
)
def test_a_round_that_cannot_end_there_fails_the_job_in_one_line(tmp_path: Path, wrong: str, reason: str) -> None:
    record = measured.attempt(Late(wrong=wrong), tmp_path, model=LeastSquares(), wire="memory", n_samples=10)
    assert record.status == "failed"
    assert record.reason.startswith(reason)


def test_a_scheme_that_says_nothing_of_rounds_has_none(tmp_path: Path) -> None:
    record = measure(SecureAggregation(), tmp_path, n_participants=2)
    assert by_round(record).empty
    assert np.isnan(row(record).n_training_rounds)
    assert row(record).train_rounds == 4
