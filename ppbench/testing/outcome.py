"""What one run left behind, as the checks look at it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ppbench import bundle
from ppbench.bundle import Tree
from ppbench.records import JobRecord
from ppbench.testing import probe


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One job: its record and its folder."""

    record: JobRecord
    folder: Path

    def total(self, metric: str, party: str | None = None, peer: str | None = None) -> float:
        """The sum over all stages."""
        return sum(
            record.value
            for record in self.record.records
            if record.metric == metric and party in (None, record.party) and peer in (None, record.peer)
        )

    def values(self, stage: str, metric: str) -> list[float]:
        """One value for each repetition, or party, or batch."""
        return [r.value for r in self.record.records if r.stage == stage and r.metric == metric]

    def reports(self) -> dict[str, Tree]:
        """What each watched party reported of the pass with views, complete."""
        return {
            party: probe.unpack(entry["arrays"][0])
            for party, entries in self.views().items()
            for entry in entries
            if entry["name"] == probe.REPORT
        }

    def measured_reports(self) -> dict[str, Tree]:
        """What each watched party reported of the measured pass, up to its last stage."""
        published = (self.folder / "published").glob("*.npz")
        return {path.stem: probe.unpack(bundle.load(path)[probe.REPORT]) for path in published}

    def views(self) -> dict[str, list[Tree]]:
        """By party: what it received or observed."""
        return {path.stem: bundle.load(path) for path in (self.folder / "views").glob("*.npz")}
