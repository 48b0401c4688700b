"""Data set and model of a table's rows, in columns of their own where they tell rows apart."""

from __future__ import annotations

from collections.abc import Sequence

from ppbench.report.table import Column, text_columns
from ppbench.taxonomy.rows import TaxonomyRow

_PARTS = ("data set", "model")


def with_tasks(
    rows: Sequence[TaxonomyRow], columns: Sequence[Column], cells: Sequence[Sequence[str]]
) -> tuple[tuple[Column, ...], tuple[tuple[str, ...], ...]]:
    """Columns and cells of the rows, with what of their tasks differs behind the first column, which names them."""
    telling = [i for i in range(len(_PARTS)) if len({row.group.task[i] for row in rows}) > 1]
    titles = [_PARTS[i] for i in telling]
    tasks = [[row.group.task[i] for i in telling] for row in rows]
    wider = tuple((name, *task, *rest) for (name, *rest), task in zip(cells, tasks, strict=True))
    return (columns[0], *text_columns(*titles), *columns[1:]), wider
