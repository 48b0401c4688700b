"""What happens when something goes wrong."""

from __future__ import annotations

import re
import sys
import time

from ppbench.party import participant_name
from ppbench.testing.case import Case
from ppbench.testing.probe import KILLED, MISSHAPEN, fault_stage
from ppbench.testing.result import require, skip_if

_UNEXPECTED = re.compile(r"(failed|dropped out) in \w+: \w*(Error|Exception|Interrupt|Exit)\b: ")
_DEADLINE = "the deadline of"
_DYING_S = 2.0
"""What has been killed may take as long to go."""


def wrong_shape_is_a_clean_error(case: Case) -> None:
    """A participant whose samples have one value too many ends the job with a reason that names the shapes; if the
    card tolerates that it drops out, its line does.
    """
    skip_if(fault_stage(case.scheme, MISSHAPEN) is None, "no participant has samples")
    case.need(case.plain)
    outcome = case.faulty(MISSHAPEN, case.n_watched)
    reason = outcome.reason or "; ".join(outcome.record.dropouts)
    require(reason, "samples with one value too many were taken as if nothing were wrong")
    require(_DEADLINE not in reason, f"the parties hung: {reason}", outcome.evidence())
    unexpected = _UNEXPECTED.search(reason)
    require(not unexpected, f"no PpbenchError but an accident: {reason}", outcome.evidence())


def dead_participant_ends_the_job(case: Case) -> None:
    """A participant killed in mid-protocol ends the job with a reason that names it; if the card tolerates that,
    the job goes on without it.
    """
    case.need(case.plain)
    n_participants = 4 if case.scheme.card.tolerates_dropouts else case.n_watched
    victim = participant_name(n_participants - 1)
    outcome = case.faulty(KILLED, n_participants)
    record = outcome.record
    if case.scheme.card.tolerates_dropouts:
        told = f"the card tolerates dropouts, but without {victim} {outcome.reason}"
        require(record.status == "ok", told, outcome.evidence())
        require(outcome.total("dropped", victim) == 1, f"nobody noticed that {victim} had dropped out")
        return
    require(record.status == "failed", f"the job ended well though {victim} was dead")
    require(_DEADLINE not in outcome.reason, f"the parties hung: {outcome.reason}", outcome.evidence())
    require(victim in outcome.reason, f"the reason does not name {victim}: {outcome.reason}", outcome.evidence())


def leaves_no_process(case: Case) -> None:
    """After all jobs, those that failed too, nothing that a party started is left."""
    skip_if(not sys.platform.startswith("linux"), "needs /proc")
    case.need(case.plain)
    until_s = time.monotonic() + _DYING_S
    while (survivors := case.survivors()) and time.monotonic() < until_s:
        time.sleep(0.02)
    require(not survivors, f"still running: {'; '.join(survivors.values())}")
