"""What one run left behind, as the checks look at it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ppbench import bundle
from ppbench.bundle import Tree
from ppbench.plugin import Plugin
from ppbench.records import JobRecord
from ppbench.testing import evidence, probe


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One job: its record and its folder."""

    record: JobRecord
    folder: Path
    plugin: type[Plugin]

    @property
    def reason(self) -> str:
        """Of a job that did not end well; without the file that it names, which goes with the folder."""
        return self.record.reason.partition("; traceback in ")[0]

    def evidence(self) -> str:
        """Of a job that did not end well: where the plugin's code was, and the log of the party that failed."""
        files = [path for path in sorted(self.folder.glob("logs/*")) if path.is_file() and path.stat().st_size]
        blamed = self.record.reason.partition(" ")[0]
        told = [path for path in files if path.stem == blamed] or files
        return "\n".join(
            evidence.of_text(self.plugin, path.read_text(errors="replace").strip(), path.stem) for path in told
        )

    def total(self, metric: str, party: str | None = None, peer: str | None = None) -> float:
        """The sum over all stages."""
        return sum(
            record.value
            for record in self.record.records
            if record.metric == metric
            and party in (None, record.party)
            and peer in (None, record.peer)
            # Those of a training round are in the stage's.
            and record.training_round is None
        )

    @property
    def payload_sources(self) -> set[str | None]:
        """Who counted the payload of stages; that of a training round is the channels' own count."""
        counted = [r for r in self.record.records if r.metric == "payload_bytes_sent"]
        return {r.source for r in counted if r.training_round is None}

    def values(self, stage: str, metric: str) -> list[float]:
        """One value for each repetition, or party, or batch."""
        found = [r for r in self.record.records if r.stage == stage and r.metric == metric]
        return [r.value for r in found if r.training_round is None]

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
