"""CPU time per sample of every party, a row per scheme and variant; a panel per data set and model."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from ppbench import units
from ppbench.report.groups import Group, by_task, compared, task_title
from ppbench.report.one_page import PAGE_IN, left_out, panels_for_a_page
from ppbench.report.style import (
    GREY,
    INK,
    SMALL_PT,
    WIDTH_IN,
    add_axes,
    add_caption,
    caption_height,
    how_often,
    new_figure,
    not_shown,
    text_width,
    wrapped_label,
)

_CPU = "participant_cpu_s_per_sample"
_PARTIES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("participant", _CPU, {"color": "#0072B2", "marker": "o"}),
    ("coordinator", "coordinator_cpu_s_per_sample", {"color": "#D55E00", "marker": "s"}),
    ("third party", "third_party_cpu_s_per_sample", {"color": "#009E73", "marker": "^"}),
)
_ROW_IN = 0.2
_LINE_IN = 0.13
_HEAD_IN = 0.42
_FOOT_IN = 0.12
_AXIS_IN = 0.36
_NUMBER_IN = 0.78
_TICK_IN = 0.42
_ASIDE_IN = 0.03


def compute_per_party(groups: Sequence[Group]) -> Figure | None:
    """How much is a dot on one logarithmic axis, since between a baseline and homomorphic encryption lie many orders of
    magnitude; beside it the number. A line ties the parties of a row together.
    """
    drawn = compared([shown for members in by_task(groups) if (shown := [g for g in members if _is_drawn(g)])])
    if not drawn:
        return None
    everyone = [group for members in drawn for group in members]
    caption = _caption(groups, everyone, 0)
    room_in = PAGE_IN - caption_height(caption) - _AXIS_IN
    panels = panels_for_a_page(drawn, room_in, _height_in, _participant_cpu, lambda group: group.is_baseline)
    shown = [group for members in panels for group in members]
    caption = _caption(groups, everyone, len(shown))
    parties = [party for party in _PARTIES if any(group.median(party[1]) is not None for group in shown)]
    figure = new_figure(sum(map(_height_in, panels)) + _AXIS_IN + caption_height(caption))
    label_in = max(text_width(figure, wrapped_label(group)) for group in shown) + 0.2
    width_in = WIDTH_IN - label_in - _NUMBER_IN * len(parties) - 0.15
    values = [value for group in shown for _, cpu, _ in parties if (value := group.median(cpu))]
    top_in = figure.get_figheight()
    for members in panels:
        rows = sorted(members, key=_participant_cpu)
        tall_in = _rows_in(rows)
        figure.text(0.1 / WIDTH_IN, (top_in - _HEAD_IN + 0.07) / figure.get_figheight(), task_title(rows), fontsize=10)
        axes = add_axes(figure, label_in, top_in - _HEAD_IN - tall_in, width_in, tall_in)
        _draw_axis(axes, tall_in, min(values) / 2, max(values) * 2, int(width_in / _TICK_IN))
        _draw_rows(axes, rows, parties)
        top_in -= _height_in(members)
        axes.tick_params(axis="x", labelbottom=members is panels[-1])
    axes.set_xlabel("CPU time per sample (logarithmic)")
    add_caption(figure, caption)
    return figure


def _caption(groups: Sequence[Group], drawn: Sequence[Group], n_shown: int) -> str:
    caption = f"CPU time of the online stage per sample and party, all threads, channel included; {how_often(drawn)}."
    if any(_runs_whole_model(group) for group in drawn):
        caption += " Dotted line: the participant that runs the coordinator's model itself (local)."
    return caption + left_out(len(drawn), n_shown) + not_shown(groups)


def _is_drawn(group: Group) -> bool:
    return any(group.median(cpu) for _, cpu, _ in _PARTIES)


def _row_in(group: Group) -> float:
    return max(_ROW_IN, _LINE_IN * (wrapped_label(group).count("\n") + 1) + 0.05)


def _rows_in(groups: Sequence[Group]) -> float:
    return sum(map(_row_in, groups))


def _height_in(groups: Sequence[Group]) -> float:
    return _HEAD_IN + _rows_in(groups) + _FOOT_IN


def _runs_whole_model(group: Group) -> bool:
    return group.scheme == "local" and not group.is_small_model


def _participant_cpu(group: Group) -> float:
    value = group.median(_CPU)
    return float("inf") if value is None else value


def _draw_axis(axes: Axes, tall_in: float, low_s: float, high_s: float, n_ticks: int) -> None:
    """Down it goes in inches."""
    axes.set_xscale("log")
    axes.set_xlim(low_s, high_s)
    axes.set_ylim(tall_in, 0)
    axes.xaxis.set_major_locator(LogLocator(numticks=max(2, n_ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: units.tick(units.seconds(value))))
    axes.tick_params(axis="y", length=0)


def _draw_rows(axes: Axes, groups: Sequence[Group], parties: Sequence[tuple[str, str, dict[str, Any]]]) -> None:
    ends = list(itertools.accumulate(map(_row_in, groups)))
    middles = [end - _row_in(group) / 2 for group, end in zip(groups, ends, strict=True)]
    axes.set_yticks(middles, [wrapped_label(group) for group in groups])
    for column, (party, _, style) in enumerate(parties):
        _write_head(axes, party, style, _right(axes, column))
    for group, middle, tick in zip(groups, middles, axes.get_yticklabels(), strict=True):
        tick.set_fontweight("bold" if group.is_baseline else "normal")
        axes.axhline(middle, color="#E4E4E4", linewidth=0.6, zorder=0)
        if _runs_whole_model(group):
            axes.axvline(_participant_cpu(group), color=GREY, linestyle=(0, (1, 2)), linewidth=1.2, zorder=1)
        _draw_row(axes, group, middle, parties)


def _draw_row(axes: Axes, group: Group, middle: float, parties: Sequence[tuple[str, str, dict[str, Any]]]) -> None:
    values = [group.median(cpu) for _, cpu, _ in parties]
    # A logarithmic axis has no place for zero; the number beside the row still says it.
    drawn = [value for value in values if value]
    axes.plot([min(drawn), max(drawn)], [middle, middle], color=GREY, linewidth=0.9, zorder=2)
    for column, (value, (_, _, style)) in enumerate(zip(values, parties, strict=True)):
        if value:
            aside = _ASIDE_IN * (column - (len(parties) - 1) / 2)
            axes.plot([value], [middle + aside], linestyle="none", markersize=5.5, zorder=3, **style)
        axes.text(
            _right(axes, column),
            middle,
            units.seconds(value),
            transform=axes.get_yaxis_transform(),
            ha="right",
            va="center_baseline",
            fontsize=SMALL_PT,
            color=INK,
        )


def _right(axes: Axes, column: int) -> float:
    """Where a column of numbers ends, in widths of the axes."""
    return 1 + (column + 1) * _NUMBER_IN / (axes.get_position().width * WIDTH_IN)


def _write_head(axes: Axes, party: str, style: dict[str, Any], right: float) -> None:
    axes.annotate(
        party,
        (right, 1),
        (0, 5),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        fontsize=SMALL_PT,
        fontweight="bold",
        color=style["color"],
    )
