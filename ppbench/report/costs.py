"""The main results: what each scheme and variant costs, and how well it answers; a table per data set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from ppbench import units
from ppbench.records import JobRecord
from ppbench.report.groups import Group, by_dataset, dataset_title, grouped
from ppbench.report.table import Table, markdown, number_columns, text_columns
from ppbench.report.table_files import write_table

_TEXTS = ("scheme", "variant")
_NUMBERS = (
    "seeds",
    "accuracy",
    "agreement",
    "participant CPU",
    "coordinator CPU",
    "up",
    "down",
    "setup up",
    "setup down",
    "rounds",
    "participant RSS",
)
_TRAINING = {
    "train CPU": ("participant_train_cpu_s", units.seconds),
    "train up": ("train_up_bytes", units.size),
    "train down": ("train_down_bytes", units.size),
    "train rounds": ("train_rounds", units.number),
}
"""Title -> column of the summary, and how it is written."""
_THIRD_PARTY = ("third_party_bytes_per_sample", "offline_bytes_per_sample")
_NOTE = (
    "Medians over seeds, of medians over passes. Per sample: CPU time; up and down, TCP payload. "
    "Third party: what it moves for a sample, online and ahead. "
    "Per participant: setup upload and download, all of training, peak RSS. "
    f"{units.NOT_MEASURED} stands for what was not measured."
)


def write_costs(groups: Sequence[Group], results_dir: Path) -> list[Path]:
    """Write them into one file of each kind; returns the paths."""
    return write_table("costs", _tables(groups), results_dir)


def text_table(jobs: Sequence[JobRecord], width: float = math.inf) -> str:
    """The same for a terminal, no wider than so many letters; below, why jobs failed or could not run."""
    return markdown(_tables(grouped(jobs)), width)


def _tables(groups: Sequence[Group]) -> list[Table]:
    return [_table(members) for members in by_dataset(groups)]


def _table(groups: Sequence[Group]) -> Table:
    """Columns for the model, the number of samples, training and a third party's bytes only where rows have them."""
    text, numbers = list(_TEXTS), list(_NUMBERS)
    rows = [_cells(group) for group in groups]
    texts, figures = [row[: len(_TEXTS)] for row in rows], [row[len(_TEXTS) :] for row in rows]
    if len({group.task for group in groups}) > 1:
        text.append("model")
        for row, group in zip(texts, groups, strict=True):
            row.append(group.jobs[0].model)
    if len({group.median("n_samples") for group in groups}) > 1:
        numbers.insert(0, "n")
        for row, group in zip(figures, groups, strict=True):
            row.insert(0, units.number(group.median("n_samples")))
    if any(group.median("n_train_samples") for group in groups):
        numbers += _TRAINING
        for row, group in zip(figures, groups, strict=True):
            row += [written(group.median(column)) for column, written in _TRAINING.values()]
    if any(group.median(column) for group in groups for column in _THIRD_PARTY):
        numbers.append("third party")
        for row, group in zip(figures, groups, strict=True):
            dealt = [group.median(column) for column in _THIRD_PARTY]
            row.append(units.size(sum(value or 0.0 for value in dealt) if any(dealt) else None))
    return Table(
        title=f"Costs and answers, {dataset_title(groups)}",
        columns=(*text_columns(*text), *number_columns(*numbers)),
        rows=tuple((*row, *more) for row, more in zip(texts, figures, strict=True)),
        notes=(_NOTE,),
        details=tuple(_reasons(groups)),
    )


def _cells(group: Group) -> list[str]:
    not_ok = sorted({job.status for job in group.jobs if job.status != "ok"})
    return [
        group.scheme,
        _variant(group),
        str(group.n_seeds),
        units.percent(group.median("accuracy")) if group.measured else ", ".join(not_ok),
        units.percent(group.median("agreement")),
        units.seconds(group.median("participant_cpu_s_per_sample")),
        units.seconds(group.median("coordinator_cpu_s_per_sample")),
        units.size(group.median("up_bytes_per_sample")),
        units.size(group.median("down_bytes_per_sample")),
        units.size(group.median("setup_up_bytes")),
        units.size(group.median("setup_down_bytes")),
        units.number(group.median("rounds")),
        units.size(group.median("participant_peak_rss_bytes")),
    ]


def _variant(group: Group) -> str:
    return group.label.removeprefix(group.scheme).removeprefix(" (").removesuffix(")")


def _reasons(groups: Sequence[Group]) -> list[str]:
    lines = []
    for group in groups:
        for job in group.jobs:
            if job.status != "ok":
                reason = " ".join(job.reason.split())
                lines.append(f"- {group.label}, seed {job.seed}: {job.status}: {reason}")
    return lines
