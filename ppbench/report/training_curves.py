"""Training round by training round: what was published is worth, and what it has cost a participant by then."""

from __future__ import annotations

import dataclasses
import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from ppbench import units
from ppbench.records import JobRecord
from ppbench.report.groups import Group, by_dataset, dataset_title
from ppbench.report.one_page import PAGE_IN
from ppbench.report.style import (
    GREY,
    SMALL_PT,
    WIDTH_IN,
    add_axes,
    add_caption,
    caption_height,
    new_figure,
    series_styles,
    shortened,
)
from ppbench.report.summary import PUBLISHED
from ppbench.scheme import PARTICIPANT
from ppbench.selection import Selection

Curve = Mapping[int, float]
"""Training round, from 1 -> a value."""

_LEAST_ROUNDS = 2
_MOST_LINES = 10
_MARKERS = 12
"""A longer line has its marker on some of its points."""
_LOG_FROM = 20.0
"""An axis whose largest last value is so many times its smallest is logarithmic."""
_PANEL_IN = 1.9
_PANEL_WIDTH_IN = 2.65
_LEFT_IN = 0.75
_ACROSS_IN = 3.4
_HEAD_IN = 0.55
_FOOT_IN = 0.5
_KEY_LINE_IN = 0.17

_COSTS = {
    "a participant's upload so far": ("payload_bytes_sent", units.size),
    "a participant's CPU time so far": ("cpu_s", units.seconds),
}
"""Title of a panel -> metric, and how it is written."""


@dataclasses.dataclass(frozen=True)
class Line:
    """One group of jobs."""

    group: Group
    curves: Mapping[str, Curve]
    """By the title of the panel that it is in."""


def training_curves(groups: Sequence[Group]) -> Figure | None:
    """A block for each data set, in it a panel for each measure; None where nobody trained for at least two rounds."""
    lines = {id(line.group): line for group in groups if (line := _line(group))}
    blocks = [
        [lines[id(group)] for group in members]
        for members in by_dataset([group for group in groups if id(group) in lines])
    ]
    if not blocks:
        return None
    blocks = [block[:_MOST_LINES] for block in blocks]
    while len(blocks) > 1 and sum(map(_height_in, blocks)) + caption_height(_caption(2, 1)) > PAGE_IN:
        blocks.pop()
    caption = _caption(len(lines), sum(map(len, blocks)))
    figure = new_figure(sum(map(_height_in, blocks)) + caption_height(caption))
    top_in = figure.get_figheight()
    for block in blocks:
        _draw_block(figure, block, top_in)
        top_in -= _height_in(block)
    add_caption(figure, caption)
    return figure


def _line(group: Group) -> Line | None:
    """None if its jobs have no training rounds, or only one."""
    by_job = [_curves(job) for job in group.measured if any(r.training_round is not None for r in job.records)]
    curves = {title: _middle([job[title] for job in by_job if title in job]) for job in by_job for title in job}
    curves = {title: curve for title, curve in curves.items() if len(curve) >= _LEAST_ROUNDS}
    return Line(group, curves) if curves else None


def _curves(job: JobRecord) -> dict[str, Curve]:
    select = Selection(job.records)
    curves: dict[str, Curve] = {}
    for metric in sorted(select.training_metrics):
        if metric.startswith(PUBLISHED):
            title = metric.removeprefix(PUBLISHED).replace("_", " ")
            curves[title] = {number + 1: value for number, value in select.by_training_round(metric).items()}
    for title, (metric, _) in _COSTS.items():
        found = select.by_training_round(metric, PARTICIPANT)
        each = (value / job.config["task"]["n_participants"] for value in found.values())
        curves[title] = {number + 1: so_far for number, so_far in zip(found, itertools.accumulate(each), strict=True)}
    return curves


def _middle(curves: Sequence[Curve]) -> Curve:
    """The median over the seeds, of those that have the round."""
    numbers = sorted({number for curve in curves for number in curve})
    return {number: statistics.median(curve[number] for curve in curves if number in curve) for number in numbers}


def _caption(n_lines: int, n_shown: int) -> str:
    caption = (
        "What each training round published is worth by the scheme's own measure, and what a participant has sent (TCP "
        "payload) and computed by its end, as a mean over all participants; medians over processes and seeds."
    )
    if n_shown < n_lines:
        caption += f" {n_shown} of {n_lines} schemes and variants are shown; records.csv has all."
    return caption


def _titles(block: Sequence[Line]) -> list[str]:
    """Of the panels: what was published first."""
    found = dict.fromkeys(title for line in block for title in line.curves)
    return sorted(found, key=lambda title: list(_COSTS).index(title) if title in _COSTS else -1)


def _height_in(block: Sequence[Line]) -> float:
    n_down = -(-len(_titles(block)) // 2)
    return n_down * (_HEAD_IN + _PANEL_IN + _FOOT_IN) + _KEY_LINE_IN * len(block) + 0.15


def _draw_block(figure: Figure, block: Sequence[Line], top_in: float) -> None:
    styles = series_styles(len(block))
    for i, title in enumerate(_titles(block)):
        bottom_in = top_in - (i // 2) * (_HEAD_IN + _PANEL_IN + _FOOT_IN) - _HEAD_IN - _PANEL_IN
        axes = add_axes(figure, _LEFT_IN + _ACROSS_IN * (i % 2), bottom_in, _PANEL_WIDTH_IN, _PANEL_IN)
        for line, style in zip(block, styles, strict=True):
            if curve := line.curves.get(title):
                every = max(1, len(curve) // _MARKERS)
                axes.plot(list(curve), list(curve.values()), markersize=4, markevery=every, **style)
        _draw_axes(axes, title, [line.curves[title] for line in block if title in line.curves])
        if i == 0:
            axes.set_title(f"{dataset_title([line.group for line in block])}\n{title}")
    _draw_key(figure, block, top_in - _height_in(block) + 0.1)


def _draw_axes(axes: Axes, title: str, curves: Sequence[Curve]) -> None:
    written: Callable[[float | None], str] = _COSTS[title][1] if title in _COSTS else units.number
    if title in _COSTS:
        lasts = [list(curve.values())[-1] for curve in curves]
        if min(lasts) > 0 and max(lasts) / min(lasts) >= _LOG_FROM:
            axes.set_yscale("log")
            axes.yaxis.set_minor_formatter(NullFormatter())
        else:
            axes.set_ylim(bottom=0)
    axes.set_title(title)
    axes.set_xlabel("training round")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: units.tick(written(value)) if value else "0"))
    axes.grid(axis="y", color=GREY, alpha=0.25)


def _draw_key(figure: Figure, block: Sequence[Line], bottom_in: float) -> None:
    """Which line is which scheme."""
    height_in = _KEY_LINE_IN * len(block)
    axes = add_axes(figure, 0, bottom_in, WIDTH_IN, height_in)
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH_IN)
    axes.set_ylim(len(block) - 0.5, -0.5)
    for y, (line, style) in enumerate(zip(block, series_styles(len(block)), strict=True)):
        axes.plot([0.2, 0.5], [y, y], markersize=4, **style)
        text = shortened(line.group.label, WIDTH_IN - 0.8)
        axes.text(0.6, y, text, fontsize=SMALL_PT, va="center_baseline")
