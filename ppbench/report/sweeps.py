"""A measure of quality against every numeric option that a sweep varied: epsilon, dimensions kept, participants.

Panels stand below one another, in one column of a journal.
"""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ppbench import units
from ppbench.report.groups import Group, settings
from ppbench.report.one_page import PAGE_IN
from ppbench.report.style import (
    COLUMN_IN,
    FIGURES,
    GREY,
    SMALL_PT,
    add_axes,
    add_caption,
    caption_height,
    how_often,
    new_figure,
    series_styles,
    write_picture,
)

_ACCURACY = "accuracy"
_ERRORS = {
    "reconstruction_mse": (
        "reconstruction_vs_options",
        "Mean squared error of a value in [0, 1] of the samples that the coordinator reconstructs in order to classify "
        "them: the less, the more it sees",
    ),
    "published_mean_absolute_error": (
        "released_error_vs_options",
        "Mean absolute error of the answers that were released",
    ),
}
"""Column of the summary -> the picture's name, and what it shows."""
_MIN_POINTS = 3
_LEFT_IN = 0.62
_PANEL_WIDTH_IN, _PANEL_IN = COLUMN_IN - _LEFT_IN - 0.15, 1.75
_TITLE_LINE_IN = 0.16
_HEAD_IN = 0.3
_FOOT_IN = 0.5
_BETWEEN_IN = 0.15
_LEGEND_LINE_IN = 0.16
_TITLE_CHARACTERS = 42
_LEGEND_CHARACTERS = 44
_TICK_CHARACTER_IN = 0.075
_MOST_LINES = 10
_LOG_FROM = 20.0
"""An axis whose largest value is so many times its smallest is logarithmic."""


@dataclasses.dataclass(frozen=True)
class Line:
    """Jobs of one scheme that differ in one number alone."""

    label: str
    points: tuple[tuple[float, Group], ...]
    """Sorted by the number."""


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What one picture's panel shows."""

    scheme: str
    task: tuple[str, str]
    option: str
    """Key of the configuration, such as `scheme.epsilon`."""
    lines: tuple[Line, ...]


def sweeps(groups: Sequence[Group], column: str) -> list[Sweep]:
    """Every scheme's numeric options that took at least three values while all else stayed as it was, of the groups
    where a column of the summary was measured.
    """
    families: dict[tuple[str, tuple[str, str]], list[tuple[Group, Mapping[str, Any]]]] = {}
    for group in groups:
        if group.median(column) is not None:
            families.setdefault((group.scheme, group.task), []).append((group, settings(group.jobs[0])))
    found = []
    for (scheme, task), members in families.items():
        for option in sorted({key for _, own in members for key, value in own.items() if _is_number(value)}):
            lines = _lines(members, option)
            if lines:
                found.append(Sweep(scheme, task, option, lines))
    return found


def write_sweeps(groups: Sequence[Group], results_dir: Path, pdf: bool = True) -> list[Path]:
    """A picture of each measure that the folder has sweeps of; returns the paths written."""
    figures = results_dir / FIGURES
    written = write_picture(lambda: _accuracy_vs_options(groups), figures, "accuracy_vs_options", pdf)
    for column, (name, what) in _ERRORS.items():
        written += write_picture(partial(_error_vs_options, groups, column, what), figures, name, pdf)
    return written


def _accuracy_vs_options(groups: Sequence[Group]) -> Figure | None:
    """A panel for each sweep; a dashed line where the model alone is."""
    shown = sweeps(groups, _ACCURACY)
    if not shown:
        return None
    caption = f"Accuracy of the answers that participants end up with; {how_often(groups)}."
    if any(_plaintext(groups, sweep) is not None for sweep in shown):
        caption += " Dashed: the model on clear samples."
    return _panels(groups, shown, _ACCURACY, caption)


def _error_vs_options(groups: Sequence[Group], column: str, what: str) -> Figure | None:
    """A panel for each sweep, with a logarithmic axis of errors."""
    shown = sweeps(groups, column)
    return _panels(groups, shown, column, f"{what}; {how_often(groups)}.") if shown else None


def _panels(groups: Sequence[Group], shown: Sequence[Sweep], column: str, caption: str) -> Figure:
    n_all = len(shown)
    shown = [dataclasses.replace(sweep, lines=_longest(sweep.lines)) for sweep in shown]
    # Those with the most points, as many as a page has room for.
    shown.sort(key=lambda sweep: -sum(len(line.points) for line in sweep.lines))
    while len(shown) > 1 and sum(map(_height_in, shown)) + caption_height(caption, COLUMN_IN) + 0.3 > PAGE_IN:
        shown.pop()
    if len(shown) < n_all:
        caption += f" The {len(shown)} of {n_all} sweeps with the most points; summary.csv has all."
    figure = new_figure(sum(map(_height_in, shown)) + caption_height(caption, COLUMN_IN), COLUMN_IN)
    top_in = figure.get_figheight()
    for sweep in shown:
        bottom_in = top_in - _head_in(sweep) - _PANEL_IN
        axes = add_axes(figure, _LEFT_IN, bottom_in, _PANEL_WIDTH_IN, _PANEL_IN)
        _draw(axes, sweep, column, _plaintext(groups, sweep) if column == _ACCURACY else None)
        above_in = bottom_in + _PANEL_IN + 0.08
        figure.text(0.1 / COLUMN_IN, above_in / figure.get_figheight(), _title(sweep), fontsize=9, va="bottom")
        if _legend_in(sweep):
            _draw_legend(figure, axes, bottom_in - _FOOT_IN)
        top_in -= _height_in(sweep)
    add_caption(figure, caption)
    return figure


def _draw_legend(figure: Figure, axes: Axes, top_in: float) -> None:
    corner = 0.1 / COLUMN_IN, top_in / figure.get_figheight()
    look: dict[str, Any] = {"frameon": False, "fontsize": SMALL_PT, "borderpad": 0, "borderaxespad": 0}
    axes.legend(loc="upper left", bbox_to_anchor=corner, bbox_transform=figure.transFigure, handlelength=1.6, **look)


def _longest(lines: tuple[Line, ...]) -> tuple[Line, ...]:
    """As many as can be told apart."""
    by_length = sorted(range(len(lines)), key=lambda i: -len(lines[i].points))
    return tuple(line for i, line in enumerate(lines) if i in by_length[:_MOST_LINES])


def _title(sweep: Sweep) -> str:
    return textwrap.fill(f"{sweep.scheme}: {', '.join(sweep.task)}", _TITLE_CHARACTERS)


def _told(line: Line) -> str:
    return textwrap.fill(line.label, _LEGEND_CHARACTERS)


def _head_in(sweep: Sweep) -> float:
    return _HEAD_IN + _TITLE_LINE_IN * _title(sweep).count("\n")


def _legend_in(sweep: Sweep) -> float:
    n_lines = sum(_told(line).count("\n") + 1 for line in sweep.lines)
    return _LEGEND_LINE_IN * n_lines + 0.1 if len(sweep.lines) > 1 else 0.0


def _height_in(sweep: Sweep) -> float:
    return _head_in(sweep) + _PANEL_IN + _FOOT_IN + _legend_in(sweep) + _BETWEEN_IN


def _lines(members: Sequence[tuple[Group, Mapping[str, Any]]], option: str) -> tuple[Line, ...]:
    by_rest: dict[tuple[tuple[str, str], ...], dict[float, Group]] = {}
    for group, own in members:
        value = own.get(option)
        if _is_number(value) and value != 0:  # 0 stands for "not set"
            rest = tuple(sorted((key, repr(other)) for key, other in own.items() if key != option))
            by_rest.setdefault(rest, {})[float(value)] = group  # type: ignore[arg-type]
    kept = {rest: points for rest, points in by_rest.items() if len(points) >= _MIN_POINTS}
    differing = {key for rest in kept for key, value in rest if any((key, value) not in other for other in kept)}
    return tuple(
        Line(
            ", ".join(f"{key.rpartition('.')[2]}={value.strip(chr(39))}" for key, value in rest if key in differing),
            tuple(sorted(points.items())),
        )
        for rest, points in kept.items()
    )


def _draw(axes: Axes, sweep: Sweep, column: str, plaintext: float | None) -> None:
    numbers = [number for line in sweep.lines for number, _ in line.points]
    for i, (line, style) in enumerate(zip(sweep.lines, series_styles(len(sweep.lines)), strict=True)):
        values = [group.median(column) or 0.0 for _, group in line.points]
        # Where lines coincide, the first ones show as rings around the last.
        size = 5 + 1.5 * min(3, len(sweep.lines) - 1 - i)
        axes.plot([number for number, _ in line.points], values, label=_told(line), markersize=size, **style)
    if plaintext is not None:
        axes.axhline(plaintext, color=GREY, linestyle="--", linewidth=1)
    is_log = max(numbers) / min(numbers) >= _LOG_FROM
    if is_log:
        axes.set_xscale("log")
    axes.set_xticks(_ticks(numbers, is_log), minor=False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: units.number(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    if column == _ACCURACY:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    else:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: units.number(value)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(sweep.option)
    axes.grid(axis="y", color=GREY, alpha=0.25)


def _ticks(numbers: Sequence[float], is_log: bool) -> list[float]:
    """Those that were measured, without what would touch its left neighbour."""
    ordered = sorted(set(numbers))
    places = [math.log(number) if is_log else number for number in ordered]
    scale_in = 0.9 * _PANEL_WIDTH_IN / (places[-1] - places[0])
    ticks: list[float] = []
    free_from_in = -math.inf
    for number, place in zip(ordered, places, strict=True):
        half_in = _TICK_CHARACTER_IN * len(units.number(number)) / 2
        at_in = scale_in * (place - places[0])
        if at_in - half_in >= free_from_in:
            ticks.append(number)
            free_from_in = at_in + half_in + _TICK_CHARACTER_IN
    return ticks


def _plaintext(groups: Sequence[Group], sweep: Sweep) -> float | None:
    shown = {id(group) for line in sweep.lines for _, group in line.points}
    own = [group.median("accuracy_plaintext") for group in groups if id(group) in shown]
    return own[0] if own and sweep.lines[0].points[0][1].jobs[0].task == "inference" else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
