"""A job's records by stage and metric, put together over parties, repetitions and processes."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Sequence
from typing import TypeAlias

from ppbench.party import role_of
from ppbench.records import Record
from ppbench.scheme import COORDINATOR, PARTICIPANT

THIRD_PARTY = "third party"
"""The part that all roles but participant and coordinator play."""


_Pass: TypeAlias = "tuple[int | None, int | None]"
"""Process and repetition."""


@functools.cache
def _part(party: str | None) -> str | None:
    role = None if party is None else role_of(party)
    return role if role in (None, PARTICIPANT, COORDINATOR) else THIRD_PARTY


class Selection:
    """Records of one job, by stage and metric."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._by_metric: dict[tuple[str, str], list[Record]] = {}
        self._by_round: dict[str, list[Record]] = {}
        for record in records:
            if record.training_round is None:
                self._by_metric.setdefault((record.stage, record.metric), []).append(record)
            else:
                self._by_round.setdefault(record.metric, []).append(record)
        self._dropped = {(record.process, record.party) for record in self._by_metric.get(("job", "dropped"), ())}

    def one(self, stage: str, metric: str) -> float | None:
        """The value that is measured once a job."""
        found = self._by_metric.get((stage, metric))
        return found[0].value if found else None

    def middle(self, stage: str, metric: str) -> float | None:
        """The median of all values, whoever and whenever."""
        found = self._by_metric.get((stage, metric))
        return statistics.median(record.value for record in found) if found else None

    def median(self, stage: str, metric: str, part: str | None = None, peer: str | None = None) -> float | None:
        """The sum over the parties of one part, as a median over repetitions and processes.

        What was exchanged with participants that dropped out before the stage ended is left out.
        """
        passes = self.passes(stage, metric, part, peer)
        return statistics.median(passes.values()) if passes else None

    def per_participant(self, stage: str, metric: str, n_participants: int) -> float | None:
        """The mean over those of a job's participants that took part to the stage's end, as a median over the same."""
        means = [
            total / n_left
            for at, total in self.passes(stage, metric, PARTICIPANT).items()
            if (n_left := n_participants - len(self._missing(stage, at)))
        ]
        return statistics.median(means) if means else None

    def passes(self, stage: str, metric: str, part: str | None = None, peer: str | None = None) -> dict[_Pass, float]:
        """What `median` is the median of."""
        passes: dict[_Pass, float] = {}
        for record in self._by_metric.get((stage, metric), []):
            if (part is None or _part(record.party) == part) and (peer is None or _part(record.peer) == peer):
                at = record.process, record.repetition
                if not self._missing(stage, at).isdisjoint((record.party, record.peer)):
                    continue
                passes[at] = passes.get(at, 0.0) + record.value
        return passes

    def _missing(self, stage: str, at: _Pass) -> set[str | None]:
        """The participants that did not come to the end of a stage, in one pass: they have not told what it cost."""
        if not self._dropped:
            return set()
        ended = {
            record.party
            for metric in ("wall_s", "instructions")
            for record in self._by_metric.get((stage, metric), [])
            if (record.process, record.repetition) == at
        }
        return {party for process, party in self._dropped if process == at[0]} - ended

    @property
    def training_metrics(self) -> list[str]:
        """What was measured of single training rounds."""
        return list(self._by_round)

    def by_training_round(self, metric: str, part: str | None = None) -> dict[int, float]:
        """Training round -> the sum over the parties of one part, as a median over processes; in order of rounds."""
        sums: dict[int, dict[int | None, float]] = {}
        for record in self._by_round.get(metric, []):
            if record.training_round is not None and (part is None or _part(record.party) == part):
                of_round = sums.setdefault(record.training_round, {})
                of_round[record.process] = of_round.get(record.process, 0.0) + record.value
        return {number: statistics.median(sums[number].values()) for number in sorted(sums)}

    def steps(self, stage: str) -> float | None:
        """One-way steps of setup or training; None where there was no such stage, or nobody knows.

        Older versions did not count them. Then bytes tell as much as that nothing was exchanged, or all at once: where
        participants only sent or only received, it was one step.
        """
        if (counted := self.median(stage, "rounds")) is not None:
            return counted
        ways = [self.median(stage, f"payload_bytes_{way}", PARTICIPANT) for way in ("sent", "received")]
        return None if None in ways or all(ways) else float(any(ways))

    def third_party_bytes(self, stage: str) -> float | None:
        """Payload that third parties sent and received."""
        sent = self.median(stage, "payload_bytes_sent", THIRD_PARTY)
        received = self.median(stage, "payload_bytes_received", THIRD_PARTY)
        return None if sent is None or received is None else sent + received

    def peak(self, part: str) -> float | None:
        """The largest resident memory of any party of a part in any stage, as a median over processes."""
        peaks: dict[int | None, float] = {}
        for (_, metric), found in self._by_metric.items():
            if metric == "peak_rss_bytes":
                for record in found:
                    if _part(record.party) == part:
                        peaks[record.process] = max(peaks.get(record.process, 0.0), record.value)
        return statistics.median(peaks.values()) if peaks else None
