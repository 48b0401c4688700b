"""How roles behave in the processes they run in, and what reaches whom."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.party import role_of
from ppbench.scheme import COORDINATOR
from ppbench.testing import watch
from ppbench.testing.case import Case
from ppbench.testing.result import require, skip_if
from ppbench.wire.connection import KERNEL

_N_SOUGHT = 3


def parties_live_in_processes_of_their_own(case: Case) -> None:
    """Each party is the very process that was started for it by command, at the head of a session of its own."""
    reports = _reports(case)
    pids = [report["pid"] for report in reports.values()]
    require(len({*pids, os.getpid()}) == len(pids) + 1, f"parties share a process: {pids}")
    for party, report in reports.items():
        require("ppbench.launch.host" in report["command"], f"{party} was started by {report['command']}")
        require(report["session"] == report["pid"], f"{party} does not lead a session of its own")


def leaves_its_process_as_it_was(case: Case) -> None:
    """No stage changes what roles in one process share: random state, working directory, environment, signals."""
    reports = _reports(case)
    skip_if(case.has_engine, "its engine needs a process for each party, which it may change")
    for party, report in reports.items():
        changes = ", ".join(f"{what} (in {stage})" for what, stage in report["changes"].items())
        require(not changes, f"{party} changed {changes}")


def leaves_the_calling_process_as_it_was(case: Case) -> None:
    """Running jobs, on the in-memory wire too, changes nothing in the process that asked for them."""
    before = case.state_before
    case.need(case.plain)
    if not case.has_engine:
        case.need(case.memory)
    changes = watch.changed(before, watch.global_state())
    require(not changes, f"after the jobs {', '.join(changes)} differ")


def opens_no_socket_of_its_own(case: Case) -> None:
    """Nothing reaches another party but over channels, or over an engine's sockets that `party.engine` announced.

    What is open at a stage's end, and where engines are connected, every run looks at; here are also those sockets that
    come and go.
    """
    for party, report in _reports(case).items():
        if not report["uses_engine"]:
            require(not report["sockets"], f"{party} did {', '.join(report['sockets'][:3])}")


def charges_no_stage_for_imports(case: Case) -> None:
    """What the scheme requires is imported when a role is made: a stage's seconds are not those of loading it."""
    for party, report in _reports(case).items():
        late = [
            f"{module} (in {stage})" for module, stage in report["late_imports"].items() if module in case.cls.requires
        ]
        require(not late, f"{party} imports {', '.join(late)}: import it in the role's __init__")


def writes_no_file(case: Case) -> None:
    """A party leaves nothing on the disk, nor in memory where others find it, such as /dev/shm."""
    for party, report in _reports(case).items():
        require(not report["files"], f"{party} wrote {', '.join(sorted(set(report['files']))[:3])}")


def opens_no_file_of_others(case: Case) -> None:
    """A party looks into nothing of the harness's: not the cache, where the labels are, nor results, nor their logs."""
    for party, report in _reports(case).items():
        require(not report["prying"], f"{party} opened {', '.join(sorted(set(report['prying']))[:3])}")


def views_account_for_every_byte(case: Case) -> None:
    """The messages in a party's view explain every byte that the kernel saw it exchange; what an engine hides is
    observed.
    """
    outcome, reports = case.need(case.pair), _reports(case)
    for party, report in reports.items():
        for peer, n_bytes in report["frame_bytes_received"].items():
            shown = report["frame_bytes_in_view"][peer]
            require(n_bytes == shown, f"{party} received {n_bytes} B from {peer}; its view shows {shown} B of them")
        observed = [entry for entry in outcome.views()[party] if entry["from"] == party]
        received = report["engine_bytes_received"]
        require(observed or not received, f"the engine of {party} received {received} B, and nothing of it is observed")
    skip_if(outcome.payload_sources != {KERNEL}, "what channels carried cannot be told from the kernel's count")
    for party, report in outcome.measured_reports().items():
        if case.scheme.roles[role_of(party)].takes_part_in("serve"):
            continue
        for peer, n_bytes in report["frame_bytes_sent"].items():
            counted = outcome.total("payload_bytes_sent", party, peer)
            require(
                n_bytes == counted, f"{party} sent {peer} {n_bytes} B in messages; the kernel counted {counted:.0f}"
            )


def coordinator_sees_no_raw_sample(case: Case) -> None:
    """Unless the card protects nothing, no raw sample stands in the coordinator's view: as bytes, integers, reals or
    fractions, row by row or packed across samples.
    """
    skip_if(case.scheme.card.protects == "nothing", "the card protects nothing")
    view = case.need(case.pair).views()[COORDINATOR]
    for sample in case.raw_samples(_N_SOUGHT):
        for encoded in _encodings(sample, case.facts.sample_max):
            for entry in view:
                for array in entry["arrays"]:
                    require(
                        encoded.tobytes() not in array.tobytes() and encoded.tobytes() not in array.T.tobytes(),
                        f"'{entry['name']}' from {entry['from']} holds a raw sample, as {encoded.dtype}",
                    )


def _reports(case: Case) -> dict[str, Tree]:
    reports = case.need(case.pair).reports()
    skip_if(not reports, "no party reported on itself")
    return reports


def _encodings(sample: Array, sample_max: float) -> Iterator[Array]:
    for raw in ("u1", "i8", "f2", "f4", "f8"):
        yield sample.astype(raw)
    for real in ("f2", "f4", "f8"):
        scaled: Array = sample.astype(real) / np.array(sample_max, real)
        yield scaled
