"""A measure of quality against every numeric option that a sweep varied: epsilon, dimensions kept, participants."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ppbench import units
from ppbench.report.groups import Group, settings
from ppbench.report.page import PAGE_IN
from ppbench.report.style import (
    GREY,
    SMALL_PT,
    WIDTH_IN,
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
_PANEL_IN = 2.6
_LEGEND_LINE_IN = 0.17
_MOST_LINES = 10
_MOST_TICKS = 12
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


def write_sweeps(groups: Sequence[Group], results_dir: Path) -> list[Path]:
    """A picture of each measure that the folder has sweeps of; returns the paths written."""
    written = write_picture(lambda: _accuracy_vs_options(groups), results_dir, "accuracy_vs_options")
    for column, (name, what) in _ERRORS.items():
        written += write_picture(partial(_error_vs_options, groups, column, what), results_dir, name)
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
    while len(shown) > 1 and sum(map(_height_in, shown)) + caption_height(caption) + 0.3 > PAGE_IN:
        shown.pop()
    if len(shown) < n_all:
        caption += f" The {len(shown)} of {n_all} sweeps with the most points; summary.csv has all."
    legends = [_legend_in(sweep) for sweep in shown]
    figure = new_figure(sum(map(_height_in, shown)) + caption_height(caption))
    top = figure.get_figheight()
    for sweep, legend_in in zip(shown, legends, strict=True):
        top -= 0.4 + _PANEL_IN
        axes = figure.add_axes(
            (0.7 / WIDTH_IN, top / figure.get_figheight(), 1 - 0.85 / WIDTH_IN, _PANEL_IN / figure.get_figheight())
        )
        _draw(axes, sweep, column, _plaintext(groups, sweep) if column == _ACCURACY else None)
        if legend_in:
            axes.legend(loc="upper left", bbox_to_anchor=(0, -0.17), frameon=False, fontsize=SMALL_PT, borderaxespad=0)
        top -= 0.6 + legend_in
    add_caption(figure, caption)
    return figure


def _longest(lines: tuple[Line, ...]) -> tuple[Line, ...]:
    """As many as can be told apart."""
    by_length = sorted(range(len(lines)), key=lambda i: -len(lines[i].points))
    return tuple(line for i, line in enumerate(lines) if i in by_length[:_MOST_LINES])


def _legend_in(sweep: Sweep) -> float:
    return _LEGEND_LINE_IN * len(sweep.lines) + 0.1 if len(sweep.lines) > 1 else 0.0


def _height_in(sweep: Sweep) -> float:
    return _PANEL_IN + 1.0 + _legend_in(sweep)


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
        axes.plot([number for number, _ in line.points], values, label=line.label, markersize=size, **style)
    if plaintext is not None:
        axes.axhline(plaintext, color=GREY, linestyle="--", linewidth=1)
    if max(numbers) / min(numbers) >= _LOG_FROM:
        axes.set_xscale("log")
    if len(set(numbers)) <= _MOST_TICKS:
        axes.set_xticks(sorted(set(numbers)), minor=False)
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
    axes.set_title(f"{sweep.scheme}: {', '.join(sweep.task)}")
    axes.grid(axis="y", color=GREY, alpha=0.25)


def _plaintext(groups: Sequence[Group], sweep: Sweep) -> float | None:
    shown = {id(group) for line in sweep.lines for _, group in line.points}
    own = [group.median("accuracy_plaintext") for group in groups if id(group) in shown]
    return own[0] if own and sweep.lines[0].points[0][1].jobs[0].task == "inference" else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
