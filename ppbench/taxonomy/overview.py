"""The overview: what each scheme costs and how well it answers, on one screen, with its labels beside the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ppbench import units
from ppbench.report.groups import Group
from ppbench.report.origin import origin
from ppbench.report.table import Table, number_columns, text_columns
from ppbench.report.table_files import write_table
from ppbench.taxonomy.labels import REFERENCE_BYTES, CommunicationLabel, ComputationLabel
from ppbench.taxonomy.rows import TaxonomyRow
from ppbench.taxonomy.tasks import with_tasks
from ppbench.taxonomy.thresholds import Thresholds

_COLUMNS = (
    *text_columns("scheme"),
    *number_columns("n", "accuracy", "agreement", "participant CPU", "up", "down", "setup", "rounds"),
    *text_columns("computation", "communication"),
)


def write_overview(rows: Sequence[TaxonomyRow], thresholds: Thresholds, results_dir: Path) -> list[Path]:
    """Write the table of one results folder; returns its paths."""
    columns, cells = with_tasks(rows, _COLUMNS, [_cells(row) for row in rows])
    made = origin(job for row in rows for job in row.group.jobs)
    table = Table(
        "What each scheme costs, how well it answers, and what it is to be called",
        columns,
        cells,
        notes=(_note(thresholds), made),
    )
    return write_table("overview", [table], results_dir)


def _note(thresholds: Thresholds) -> str:
    return (
        "n: samples classified. Per sample: the participant's CPU time; up and down, TCP payload. setup: what each "
        f"participant sends and receives once. Labels by the thresholds in {thresholds.where}, of bytes up over "
        f"{REFERENCE_BYTES[thresholds.reference]}; a tick says that the "
        f"paper's is the same. {units.NOT_MEASURED} stands for what was not measured."
    )


def _cells(row: TaxonomyRow) -> list[str]:
    group = row.group
    return [
        row.name,
        units.number(group.median("n_samples")) if group.measured else row.job.status,
        units.percent(group.median("accuracy")),
        units.percent(group.median("agreement")),
        units.seconds(group.median("participant_cpu_s_per_sample")),
        units.size(group.median("up_bytes_per_sample")),
        units.size(group.median("down_bytes_per_sample")),
        units.size(_setup_bytes(group)),
        units.number(group.median("rounds")),
        _beside(row.computation, row.computation_agrees, row.card.computation if row.card else None),
        _beside(row.communication, row.communication_agrees, row.card.communication if row.card else None),
    ]


def _setup_bytes(group: Group) -> float | None:
    up, down = group.median("setup_up_bytes"), group.median("setup_down_bytes")
    return None if up is None or down is None else up + down


def _beside(label: ComputationLabel | CommunicationLabel | None, agrees: bool | None, paper: str | None) -> str:
    if label is None:
        return units.NOT_MEASURED
    if paper is None:
        return label.text
    return f"{label.text} ✓" if agrees else f"{label.text} (paper: {paper})"
