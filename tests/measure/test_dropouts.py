"""A job goes on without the participants that drop out, and its figures are those of the participants that stay."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from ppbench.app.display import Quiet
from ppbench.app.runner import run_job
from ppbench.data.digits import Digits
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.models.mlp import Mlp
from ppbench.records import JobRecord
from tests.faults.dropouts import HALF_BYTES, DropsOut, MustStay
from tests.helpers.measured import attempt, measure, row

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
FRAME_BYTES = 20
"""At most: what a message is beside its array."""
FIVE: dict[str, Any] = {"n_participants": 5, "n_samples": 20, "batch_size": 2}


def sent_in_training(record: JobRecord, metric: str = "payload_bytes_sent") -> dict[str | None, float]:
    return {r.party: r.value for r in record.records if (r.stage, r.metric, r.peer) == ("train", metric, "coordinator")}


def test_two_of_five_that_die_leave_the_figures_of_the_others_as_they_are(tmp_path: Path, marker: str) -> None:
    whole = row(measure(DropsOut(), tmp_path, **FIVE))
    record = measure(DropsOut(victims=(1, 3)), tmp_path, **FIVE)
    found = row(record)
    for column in ("setup_up_bytes", "train_up_bytes", "train_down_bytes", "up_bytes_per_sample"):
        assert found[column] == whole[column]
    assert found.train_up_bytes >= 2 * HALF_BYTES
    assert (whole.n_dropped, whole.n_answers) == (0, 20)
    assert (found.n_dropped, found.n_answers) == (2, 12)
    assert found.participant_train_cpu_s > 0


def test_what_the_dead_have_sent_is_what_their_peer_received(tmp_path: Path, marker: str) -> None:
    record = measure(DropsOut(victims=(1, 3)), tmp_path, **FIVE)
    sent, messages = sent_in_training(record), sent_in_training(record, "messages_sent")
    assert [messages[f"participant-{i}"] for i in range(5)] == [2, 1, 2, 1, 2]
    for i in range(5):
        n_halves = 1 if i in (1, 3) else 2
        assert 0 <= sent[f"participant-{i}"] - n_halves * HALF_BYTES <= n_halves * FRAME_BYTES
    dead = [r for r in record.records if r.party == "participant-1"]
    assert {r.source for r in dead if r.stage == "train" and r.metric.startswith("payload")} == {"peer_tcp_info"}
    # Nobody has told what it spent in training; before, it has told it itself.
    assert [r.stage for r in dead if r.metric == "cpu_s"] == ["setup"]
    assert record.dropouts == [f"participant-{i} dropped out in train: killed by SIGKILL" for i in (1, 3)]


@pytest.mark.parametrize(
    ("fault", "how"),
    [
        ("raise", "ValueError: the sensor is on fire; traceback in {logs}"),
        ("sys.exit", "SystemExit: 3; traceback in {logs}"),
        ("leave", "it left"),
    ],
)
@pytest.mark.parametrize("wire", ["tcp", "memory"])
def test_one_in_a_shared_process_drops_out_alone(tmp_path: Path, marker: str, fault: str, how: str, wire: str) -> None:
    scheme = DropsOut(fault, victims=(1,))
    record = measure(scheme, tmp_path, wire=wire, n_participants=3, participants_per_process=3, n_samples=6)
    log = "participant-0" if wire == "tcp" else "participant-1"
    told = how.format(logs=f"{record.folder}/logs/{log}.txt")
    assert record.dropouts == [f"participant-1 dropped out in train: {told}"]
    assert (row(record).n_dropped, row(record).n_answers) == (1, 4)


def test_one_that_exits_takes_along_who_shares_its_process(tmp_path: Path, marker: str) -> None:
    scheme = DropsOut("exit", victims=(1,))
    record = measure(scheme, tmp_path, n_participants=3, participants_per_process=2, n_samples=6)
    assert record.dropouts == [
        "participant-0 dropped out in train: exited with status 3, in one process with participant-1",
        "participant-1 dropped out in train: exited with status 3, in one process with participant-0",
    ]
    assert (row(record).n_dropped, row(record).n_answers) == (2, 2)


def test_one_that_dies_among_its_batches_leaves_bytes_and_answers_of_the_others(tmp_path: Path, marker: str) -> None:
    whole = row(measure(DropsOut(), tmp_path, n_participants=3, n_samples=12, batch_size=2))
    scheme = DropsOut("kill", (2,), "online", after_half=False)
    found = row(measure(scheme, tmp_path, n_participants=3, n_samples=12, batch_size=2))
    assert (found.n_dropped, found.n_answers) == (1, 8)
    for column in ("up_bytes_per_sample", "down_bytes_per_sample", "train_up_bytes"):
        assert found[column] == whole[column]


def test_a_job_that_fails_for_want_of_those_that_dropped_out_says_so(tmp_path: Path) -> None:
    scheme = DropsOut("leave", victims=(1,), patient=False)
    record = attempt(scheme, tmp_path, wire="memory", n_participants=3, n_samples=6)
    assert record.reason.startswith("coordinator failed in train: nothing usable came from participant-1")
    # The last one may find the coordinator gone before it has sent all.
    assert record.dropouts[0] == "participant-1 dropped out in train: it left"


class Told(Quiet):
    """Keeps what a person would see."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)

    finished = note


def test_a_person_is_told_who_dropped_out_where_and_how(tmp_path: Path) -> None:
    display = Told()
    task = TaskOptions(n_participants=3, n_samples=6)
    measured = MeasureOptions(warmup_batches=0, repetitions=1)
    job = Job(DropsOut("leave", victims=(0, 2)), Digits(), Mlp(), task, measured, wire="memory")
    run_job(job, tmp_path, resume=False, display=display)
    assert display.lines[1:] == [f"  participant-{i} dropped out in train: it left" for i in (0, 2)]


@pytest.mark.parametrize(
    ("fault", "how"),
    [("sys.exit", "SystemExit: 3"), ("leave", "it left, which the card does not tolerate")],
)
def test_where_the_card_does_not_tolerate_it_the_job_ends_at_once(
    tmp_path: Path, marker: str, fault: str, how: str
) -> None:
    scheme = MustStay(fault, victims=(1,))
    record = attempt(scheme, tmp_path, n_participants=3, participants_per_process=3, n_samples=6)
    assert record.status == "failed"
    assert record.reason.startswith(f"participant-1 failed in train: {how}")
