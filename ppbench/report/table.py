"""The main results as text that is readable in a terminal and is a table in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from ppbench import units
from ppbench.records import JobRecord
from ppbench.report.groups import Group, by_dataset, dataset_title, grouped

_HEADER: tuple[str, ...] = (
    "scheme",
    "variant",
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
_N_TEXT_COLUMNS = 2
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


def text_table(jobs: Sequence[JobRecord]) -> str:
    """A table per data set, one row per scheme and variant; below, why jobs failed or could not run."""
    groups = grouped(jobs)
    parts = [_dataset_table(members) for members in by_dataset(groups)]
    return "\n\n".join([*parts, _NOTE, *_reasons(groups)]) + "\n"


def _dataset_table(groups: Sequence[Group]) -> str:
    """Columns for the model, the number of samples, training and a third party's bytes only where rows have them."""
    text, numbers = list(_HEADER[:_N_TEXT_COLUMNS]), list(_HEADER[_N_TEXT_COLUMNS:])
    rows = [_cells(group) for group in groups]
    texts, figures = [row[:_N_TEXT_COLUMNS] for row in rows], [row[_N_TEXT_COLUMNS:] for row in rows]
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
    whole = [[*row, *more] for row, more in zip(texts, figures, strict=True)]
    lines = markdown_table([*text, *numbers], whole, len(text))
    return "\n".join([f"{dataset_title(groups)}:", "", *lines])


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], n_text_columns: int) -> list[str]:
    """Lines of equal length; the first columns are flush left, those after `n_text_columns` flush right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    left = [i < n_text_columns for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if is_left else cell.rjust(width)
            for cell, width, is_left in zip(cells, widths, left, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if is_left else "-" * (width - 1) + ":" for width, is_left in zip(widths, left, strict=True)]
    return [line(header), line(rule), *map(line, rows)]


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
    return group.label.removeprefix(group.scheme).removeprefix(" (").removesuffix(")").replace("|", "\\|")


def _reasons(groups: Sequence[Group]) -> list[str]:
    lines = []
    for group in groups:
        for job in group.jobs:
            if job.status != "ok":
                reason = " ".join(job.reason.split())
                lines.append(f"- {group.label}, seed {job.seed}: {job.status}: {reason}")
    return ["\n".join(lines)] if lines else []
