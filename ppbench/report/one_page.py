"""What fits on a page: a picture that would be taller names the baselines, the best and the worst; tables have all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

PAGE_IN = 9.5
"""No picture is higher."""


def best_and_worst(
    rows: Sequence[T], most: int, cost: Callable[[T], float], is_baseline: Callable[[T], bool]
) -> list[T]:
    """All rows if they are not more than `most`; else the baselines, and of the others the least and the most costly.

    They stay in their order.
    """
    if len(rows) <= most:
        return list(rows)
    by_cost = sorted(range(len(rows)), key=lambda i: cost(rows[i]))
    baselines = [i for i in by_cost if is_baseline(rows[i])][:most]
    others = [i for i in by_cost if i not in baselines]
    n_others = most - len(baselines)
    n_worst = n_others // 2
    kept = {*baselines, *others[: n_others - n_worst], *others[len(others) - n_worst :]}
    return [row for i, row in enumerate(rows) if i in kept]


def panels_for_a_page(
    panels: Sequence[Sequence[T]],
    room_in: float,
    height_in: Callable[[Sequence[T]], float],
    cost: Callable[[T], float],
    is_baseline: Callable[[T], bool],
) -> list[list[T]]:
    """The panels with as many rows as there is room for, and of panels that still have none the first ones."""
    shown = [list(rows) for rows in panels]
    most = max(map(len, shown), default=0)
    while most > 1 and sum(map(height_in, shown)) > room_in:
        most = most - 1 if most < 60 else most // 2
        shown = [best_and_worst(rows, most, cost, is_baseline) for rows in panels]
    while len(shown) > 1 and sum(map(height_in, shown)) > room_in:
        shown.pop()
    return shown


def left_out(n_rows: int, n_shown: int, table: str = "summary.csv") -> str:
    """A sentence for the caption; empty if all are shown."""
    if n_rows == n_shown:
        return ""
    return f" Of {n_rows:,} rows {n_shown:,} are shown: the baselines, the best and the worst; {table} has all."
