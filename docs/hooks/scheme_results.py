"""What the committed results say of a scheme: its labels beside the paper's, and its measured rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from ppbench import units
from ppbench.report.summary import NUMBERS, PUBLISHED

RESULTS = Path(__file__).resolve().parents[2] / "results"
LABELS: Mapping[str, str] = {
    "variant": "name",
    "the paper's computation": "computation_paper",
    "measured computation": "computation_measured",
    "the paper's communication": "communication_paper",
    "measured communication": "communication_measured",
}
"""Title -> column of `taxonomy.csv`."""
N_TEXTS = 3
"""So many columns of `Table` hold no figure: data set, model and variant."""
_JOB = ("dataset", "model", "variant")
_SIZES = ("n_samples", "n_participants", "batch_size")
_FIGURES: Mapping[str, tuple[str, Callable[[float | None], str]]] = {
    "accuracy": ("accuracy", units.percent),
    "agreement": ("agreement", units.percent),
    "participant CPU": ("participant_cpu_s_per_sample", units.seconds),
    "coordinator CPU": ("coordinator_cpu_s_per_sample", units.seconds),
    "up": ("up_bytes_per_sample", units.size),
    "down": ("down_bytes_per_sample", units.size),
    "rounds": ("rounds", units.number),
    "third party": ("third_party_bytes_per_sample", units.size),
    "setup up": ("setup_up_bytes", units.size),
    "setup down": ("setup_down_bytes", units.size),
    "train CPU": ("participant_train_cpu_s", units.seconds),
    "train up": ("train_up_bytes", units.size),
    "epsilon": ("epsilon", units.number),
    "reconstruction error": ("reconstruction_mse", units.number),
}
"""Title -> column of `summary.csv`, and how a figure is written."""

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Header and rows."""


def labels(scheme: str) -> list[list[str]]:
    """One row for each of its variants in results/taxonomy, as `LABELS` names the columns."""
    table = pd.read_csv(RESULTS / "taxonomy" / "taxonomy.csv", keep_default_na=False)
    own = table[table["scheme"] == scheme]
    return [[str(value) or units.NOT_MEASURED for value in row] for row in own[list(LABELS.values())].values]


def measured(scheme: str) -> Iterator[tuple[str, Table]]:
    """Results folder -> a row for jobs that differ in their seed alone, of the figures that some job there has."""
    for path in sorted(RESULTS.glob("*/summary.csv")):
        table = pd.read_csv(path, keep_default_na=False, na_values=dict.fromkeys(NUMBERS, ""), dtype={"job": str})
        own = table[(table["scheme"] == scheme) & (table["status"] == "ok")]
        if len(own):
            yield path.parent.name, _rows(own)


def _rows(jobs: pd.DataFrame) -> Table:
    published = [column for column in jobs.columns if column.startswith(PUBLISHED)]
    jobs = jobs.assign(**{column: pd.to_numeric(jobs[column]) for column in published})
    titled = {column.removeprefix(PUBLISHED).replace("_", " "): (column, units.number) for column in published}
    figures = {
        title: (column, written)
        for title, (column, written) in {**_FIGURES, **titled}.items()
        if column in jobs and jobs[column].notna().any()
    }
    keys = [*_JOB, *(size for size in _SIZES if jobs[size].nunique() > 1)]
    rows = [
        [*map(str, values), str(len(alike)), *(written(_median(alike[column])) for column, written in figures.values())]
        for values, alike in jobs.groupby(keys, sort=False)
    ]
    return [*(key.replace("_", " ") for key in keys), "jobs", *figures], rows


def _median(column: pd.Series[float]) -> float | None:
    return None if column.isna().all() else float(column.median())
