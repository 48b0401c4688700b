"""A scheme that counts, spends or speaks otherwise than it says is named by the run itself."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ppbench.launch.wires import WIRES
from ppbench.scheme import Scheme
from tests.broken import cheats
from tests.broken.sound import Sound
from tests.helpers.measured import attempt, measure

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
SENT = r"it counts \d+ {} sent to {}, which counts \d+ received"
ENDS = r"tcp 127\.0\.0\.1:\d+ to 127\.0\.0\.1:\d+"
PR_CAPBSET_DROP, CAP_SYS_PTRACE = 24, 19
REASONS: dict[type[Scheme], str] = {
    cheats.CountsTooFewBytes: "participant-0 failed in online: " + SENT.format("message bytes", "coordinator"),
    cheats.ForgetsWhatItReceived: "coordinator failed in online: " + SENT.format("messages", "participant-0"),
    cheats.BribesTheKernel: "coordinator failed in setup: " + SENT.format("payload bytes", "participant-0"),
    cheats.StopsCountingTogether: (
        r"coordinator failed in online: it counts \d+ payload bytes sent to participant-0, and the kernel \d+$"
    ),
    cheats.ReadsBesideTheView: "participant-0 failed in online: " + SENT.format("messages", "coordinator"),
    cheats.CountsBackwardsTogether: r"coordinator failed in online: it counts 0 message_bytes_sent with \S+, and [1-9]",
    cheats.StopsTheClock: r"participant-0 failed in online: it reports 0\.0\d+ s of CPU time, and the kernel",
    cheats.ClaimsMoreThanItSpent: r"coordinator failed in setup: it reports 100\.\d+ s of CPU time, and the kernel",
    cheats.HidesItsMemory: r"participant-0 failed in setup: it reports a peak of 1\.0 MiB of memory, and",
    cheats.KeepsALineOpen: "coordinator failed in setup: beside its channels it holds " + ENDS,
    cheats.ClosesItsLineInTime: (
        "coordinator failed in setup: it opens a socket beside its channels, and its role does not say opens_sockets"
    ),
    cheats.SpeaksDatagrams: r"participant-0 failed in setup: beside its channels it holds udp 127\.0\.0\.1:\d+$",
    cheats.ListensBeforeAllHaveMet: r"coordinator failed in start: 2 sockets are due, and it holds .*unix @ppbench",
    cheats.DivertsItsEngine: r"participant-0 failed in setup: beside its engine's it holds udp 127\.0\.0\.1:\d+ to",
}


@pytest.mark.parametrize("scheme", REASONS, ids=lambda scheme: scheme.__name__)
def test_a_scheme_that_cheats_is_named_by_the_run(tmp_path: Path, marker: str, scheme: type[Scheme]) -> None:
    record = attempt(scheme(), tmp_path, n_samples=4)
    assert record.status == "failed"
    assert re.match(REASONS[scheme], record.reason), record.reason


def test_who_hides_from_a_harness_without_privileges_is_named(tmp_path: Path, marker: str) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.helpers.measured import attempt;"
        "from tests.broken.cheats import HidesItsSockets as Scheme;"
        "print(attempt(Scheme(), Path(sys.argv[1]), n_samples=4).reason)"
    )

    def unprivileged() -> None:
        # Who has it sees what hides; it is lost with the program that begins now.
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_PTRACE, 0, 0, 0)

    command = [sys.executable, "-c", program, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, preexec_fn=unprivileged)
    hides = "participant-0 failed in setup: it hides its sockets from who started it (Permission denied)"
    assert ended.stdout.strip() == hides


def test_several_in_one_process_are_held_against_it_together(tmp_path: Path, marker: str) -> None:
    shared: dict[str, Any] = {"n_participants": 2, "participants_per_process": 2, "n_samples": 4}
    measure(Sound(), tmp_path, **shared)
    record = attempt(cheats.StopsTheClock(), tmp_path, **shared)
    assert re.match(r"participant-0, participant-1 failed in \w+: it reports", record.reason), record.reason


@pytest.mark.parametrize(("wire", "seen"), [("tcp", 1), ("namespaces", 1), ("memory", 0)])
def test_a_record_says_whose_word_could_be_held_against_the_kernels(
    tmp_path: Path, marker: str, wire: str, seen: int
) -> None:
    if reason := WIRES.why_not(wire):
        pytest.skip(reason)
    record = measure(Sound(), tmp_path, wire=wire, n_samples=4)
    told = {r.party: r.value for r in record.records if r.metric == "seen_from_outside"}
    assert told == {"participant-0": seen, "coordinator": seen}
