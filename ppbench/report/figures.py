"""The pictures that every results folder has: accuracy against bytes, and compute per party."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator
from matplotlib.transforms import Bbox

from ppbench.report import units
from ppbench.report.groups import Group, task_title
from ppbench.report.placement import Label, place_labels
from ppbench.report.style import (
    DARK_GREY,
    GREY,
    INK,
    SHADE,
    SMALL_PT,
    WIDTH_IN,
    add_caption,
    caption_height,
    how_often,
    new_figure,
    not_shown,
    scheme_styles,
    text_width,
    wrapped_label,
)

_MARKER_PT = 7.0
_SEED_PT = 3.5
_ROW_IN = 0.26
_LINE_IN = 0.15
_NUMBER_IN = 0.82
_SHARES_IN = 1.0
_GAP_IN = 0.45
_ASIDE_IN = 0.045
_HATCHES = ("", "////", "....")
_UP = "up_bytes_per_sample"
_MOST_NAMES = 12
"""A panel of more schemes and variants names only those that no other one beats in both respects."""
_PARTIES = (
    ("participant", "participant_cpu_s_per_sample", {"color": "#0072B2", "marker": "o"}),
    ("coordinator", "coordinator_cpu_s_per_sample", {"color": "#D55E00", "marker": "s"}),
    ("third party", "third_party_cpu_s_per_sample", {"color": "#009E73", "marker": "^"}),
)


def accuracy_vs_bytes(groups: Sequence[Group]) -> Figure | None:
    """What a participant sends for each sample, and how good the answers are; a panel per data set and model."""
    panels = [
        (task_title(members), shown)
        for members in _by_task(groups)
        if (shown := [g for g in members if g.median(_UP) is not None and g.median("accuracy") is not None])
    ]
    if not panels:
        return None
    shown = [group for _, members in panels for group in members]
    caption = _accuracy_caption(groups, shown)
    heights = [3.3 + 0.09 * max(0, len(members) - 6) for _, members in panels]
    figure = new_figure(sum(heights) + 1.1 * len(panels) + caption_height(caption))
    styles = scheme_styles(groups)
    top = figure.get_figheight()
    for (title, members), height in zip(panels, heights, strict=True):
        top -= 0.5
        axes = _axes(figure, 0.75, top - height, WIDTH_IN - 1.6, height)
        top -= height + 0.6
        axes.set_title(title, pad=16)
        _draw_accuracy(axes, members, styles)
    add_caption(figure, caption)
    return figure


def compute_per_party(groups: Sequence[Group]) -> Figure | None:
    """CPU time per sample of every party, a row per scheme and variant; a panel per data set and model.

    How much is a dot on a logarithmic axis, since between a baseline and homomorphic encryption lie five orders of
    magnitude; who pays it is a stacked bar of shares beside it.
    """
    panels = [
        (task_title(members), shown)
        for members in _by_task(groups)
        if (shown := [g for g in members if any(g.median(column) for _, column, _ in _PARTIES)])
    ]
    if not panels:
        return None
    shown = [group for _, members in panels for group in members]
    parties = [party for party in _PARTIES if any(group.median(party[1]) is not None for group in shown)]
    caption = f"CPU time of the online stage per sample and party, all threads, channel included; {how_often(shown)}."
    if any(_runs_whole_model(group) for group in shown):
        caption += " Dotted line: the participant that runs the coordinator's model itself (local)."
    caption += not_shown(groups)
    row_in = max(_ROW_IN, *(_LINE_IN * (wrapped_label(group).count("\n") + 1) for group in shown))
    figure = new_figure(sum(row_in * len(members) + 1.2 for _, members in panels) + caption_height(caption))
    label_in = max(text_width(figure, wrapped_label(group)) for group in shown) + 0.2
    numbers_in = _NUMBER_IN * len(parties)
    top = figure.get_figheight()
    for title, members in panels:
        height = row_in * len(members)
        figure.text(0.1 / WIDTH_IN, (top - 0.25) / figure.get_figheight(), title, fontsize=10)
        top -= 0.6
        width = WIDTH_IN - label_in - numbers_in - _SHARES_IN - _GAP_IN - 0.15
        axes = _axes(figure, label_in, top - height, width, height)
        shares = _axes(figure, label_in + width + _GAP_IN, top - height, _SHARES_IN, height)
        top -= height + 0.6
        rows = sorted(members, key=_participant_cpu)
        _draw_compute(axes, rows, parties)
        _draw_shares(shares, rows, parties)
    add_caption(figure, caption)
    return figure


def _accuracy_caption(groups: Sequence[Group], shown: Sequence[Group]) -> str:
    parts = [
        "Up: TCP payload from participant to coordinator in the online stage. Accuracy: of the answers the participant "
        f"ends up with. Each a {how_often(shown)}. Hollow black diamonds are baselines."
    ]
    if any(group.n_seeds > 1 for group in shown):
        parts.append("Small pale markers are single seeds.")
    if any(len(members) > _MOST_NAMES for members in _by_task(shown)):
        parts.append("Of many, those are named that no other one beats in both; the table names all.")
    if any(group.is_small_model for group in shown):
        parts.append("Shaded: more bytes than the small model on the device (local, model=small), and less accurate.")
    return " ".join(parts) + not_shown(groups)


def _by_task(groups: Sequence[Group]) -> list[list[Group]]:
    return [list(members) for _, members in itertools.groupby(groups, key=lambda group: group.task)]


def _axes(figure: Figure, left_in: float, bottom_in: float, width_in: float, height_in: float) -> Axes:
    height = figure.get_figheight()
    return figure.add_axes((left_in / WIDTH_IN, bottom_in / height, width_in / WIDTH_IN, height_in / height))


def _draw_accuracy(axes: Axes, groups: Sequence[Group], styles: dict[str, dict[str, Any]]) -> None:
    points = [(group, _known(group, _UP), 100 * _known(group, "accuracy")) for group in groups]
    plaintext = next(((x, y) for group, x, y in points if group.scheme == "plaintext"), None)
    reference = [value for group in groups for value in group.values("accuracy_plaintext")]
    level = plaintext[1] if plaintext else 100 * reference[0]
    _set_ranges(axes, groups, level)
    axes.set_xlabel("bytes up per sample")
    axes.set_ylabel("accuracy (%)")
    lines = _shade(axes, points) + _reference_lines(axes, level, plaintext[0] if plaintext else None)
    markers = [marker for point in points for marker in _draw_group(axes, *point, styles[point[0].scheme])]
    lines += [_pixel_line(axes, group) for group in groups if group.n_seeds > 1]
    place_labels(axes, [_accuracy_label(*point) for point in _named(points)], markers, lines)


def _pixel_line(axes: Axes, group: Group) -> Bbox:
    """Where the seeds of a group stand, from the lowest to the highest."""
    xs, ys = group.values(_UP), [100 * value for value in group.values("accuracy")]
    return Bbox([axes.transData.transform((min(xs), min(ys))), axes.transData.transform((max(xs), max(ys)))])


def _draw_group(
    axes: Axes, group: Group, x: float, y: float, style: dict[str, Any]
) -> list[tuple[float, float, float]]:
    """The median, with the seeds it is over; returns every marker's place and size."""
    axes.plot([x], [y], linestyle="none", markersize=_MARKER_PT, zorder=4, **style)
    markers = [(x, y, _MARKER_PT)]
    if group.n_seeds > 1:
        pale = {"color": style["color"], "marker": style["marker"], "alpha": 0.45, "zorder": 3}
        for seed_x, seed_y in zip(group.values(_UP), group.values("accuracy"), strict=True):
            axes.plot([x, seed_x], [y, 100 * seed_y], linewidth=0.6, markersize=_SEED_PT, markeredgewidth=0, **pale)
            markers.append((seed_x, 100 * seed_y, _SEED_PT))
    return markers


def _accuracy_label(group: Group, x: float, y: float) -> Label:
    if group.is_baseline:
        return Label(f"{wrapped_label(group)}, baseline", x, y, "bold")
    return Label(wrapped_label(group), x, y)


def _named(points: Sequence[tuple[Group, float, float]]) -> list[tuple[Group, float, float]]:
    if len(points) <= _MOST_NAMES:
        return list(points)
    return [(group, x, y) for group, x, y in points if group.is_baseline or not _is_beaten(x, y, points)]


def _is_beaten(x: float, y: float, points: Sequence[tuple[Group, float, float]]) -> bool:
    """By one that is no baseline."""
    rivals = [(other_x, other_y) for group, other_x, other_y in points if not group.is_baseline]
    return any(rx <= x and ry >= y and (rx, ry) != (x, y) for rx, ry in rivals)


def _known(group: Group, column: str) -> float:
    value = group.median(column)
    assert value is not None
    return value


def _set_ranges(axes: Axes, groups: Sequence[Group], level: float) -> None:
    xs = [x for group in groups for x in group.values(_UP)]
    ys = [100 * y for group in groups for y in group.values("accuracy")] + [level]
    if min(xs) > 0:
        axes.set_xscale("log")
        # Room for labels at both ends.
        axes.set_xlim(min(xs) / 3, max(xs) * 6)
    else:
        axes.set_xscale("symlog", linthresh=1, linscale=0.5)
        axes.set_xlim(-0.5, max(1.0, *xs) * 6)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: units.tick(units.size(value))))
    axes.xaxis.set_minor_formatter(NullFormatter())
    # No accuracy exceeds 100 %, so no tick does.
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if value <= 100 else ""))
    margin = max(0.12 * (max(ys) - min(ys)), 0.1)
    axes.set_ylim(min(ys) - 1.5 * margin, max(ys) + 1.5 * margin)


def _shade(axes: Axes, points: Sequence[tuple[Group, float, float]]) -> list[Bbox]:
    """The part where the small local model is better in both respects; returns where its upper edge runs."""
    edges = []
    for x, y in [(x, y) for group, x, y in points if group.is_small_model][:1]:
        right, bottom = axes.get_xlim()[1], axes.get_ylim()[0]
        axes.fill_between([x, right], bottom, y, color=SHADE, linewidth=0, zorder=0)
        edges.append(Bbox([axes.transData.transform((x, y)), axes.transData.transform((right, y))]))
    return edges


def _reference_lines(axes: Axes, level: float, n_bytes: float | None) -> list[Bbox]:
    """The model's accuracy on clear samples, and plaintext's bytes, named outside the axes; returns where they run."""
    line: dict[str, Any] = {"color": GREY, "linestyle": (0, (1, 2)), "linewidth": 1.2, "zorder": 1}
    name: dict[str, Any] = {"textcoords": "offset points", "fontsize": SMALL_PT, "color": DARK_GREY}
    axes.axhline(level, **line)
    text = f"model on\nclear data\n{level:.2f} %"
    axes.annotate(text, (1, level), (4, 0), xycoords=("axes fraction", "data"), va="center", **name)
    area = axes.get_window_extent()
    x, y = axes.transData.transform((n_bytes or 1, level))
    boxes = [Bbox.from_extents(area.x0, y - 1, area.x1, y + 1)]
    if n_bytes:
        axes.axvline(n_bytes, **line)
        text = f"plaintext, {units.size(n_bytes)}"
        axes.annotate(text, (n_bytes, 1), (0, 3), xycoords=("data", "axes fraction"), ha="center", **name)
        boxes.append(Bbox.from_extents(x - 1, area.y0, x + 1, area.y1))
    return boxes


def _runs_whole_model(group: Group) -> bool:
    return group.scheme == "local" and not group.is_small_model


def _participant_cpu(group: Group) -> float:
    value = group.median("participant_cpu_s_per_sample")
    return float("inf") if value is None else value


def _draw_compute(axes: Axes, groups: Sequence[Group], parties: Sequence[tuple[str, str, dict[str, Any]]]) -> None:
    axes.set_xscale("log")
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_yticks(range(len(groups)), [wrapped_label(group) for group in groups])
    axes.tick_params(axis="y", length=0)
    for group, tick in zip(groups, axes.get_yticklabels(), strict=True):
        tick.set_fontweight("bold" if group.is_baseline else "normal")
    for row in range(len(groups)):
        axes.axhline(row, color="#DDDDDD", linewidth=0.6, zorder=0)
    for group in groups:
        if _runs_whole_model(group):
            axes.axvline(_participant_cpu(group), color=GREY, linestyle=(0, (1, 2)), linewidth=1.2, zorder=1)
    for column, (party, cpu, style) in enumerate(parties):
        values = [group.median(cpu) for group in groups]
        # A logarithmic axis has no place for zero; the number beside the row still says it.
        aside = _ASIDE_IN * (column - (len(parties) - 1) / 2) * len(groups) / _height_in(axes)
        drawn = [(value, row + aside) for row, value in enumerate(values) if value]
        axes.plot(*zip(*drawn, strict=True), linestyle="none", markersize=6, zorder=3, label=party, **style)
    low, high = axes.get_xlim()
    axes.set_xlim(low / 1.5, high * 1.5)
    axes.xaxis.set_major_locator(LogLocator(numticks=max(2, int(_width_in(axes) / 0.5))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: units.tick(units.seconds(value))))
    axes.set_xlabel("CPU time per sample (logarithmic)")


def _draw_shares(axes: Axes, groups: Sequence[Group], parties: Sequence[tuple[str, str, dict[str, Any]]]) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_yticks([])
    axes.set_xticks([0, 0.5, 1], ["0", "50", "100 %"])
    axes.set_xlabel("share of each")
    axes.spines["left"].set_visible(False)
    totals = [sum(group.median(cpu) or 0.0 for _, cpu, _ in parties) for group in groups]
    ends = [0.0] * len(groups)
    for column, (party, cpu, style) in enumerate(parties):
        values = [group.median(cpu) for group in groups]
        widths = [(value or 0.0) / total if total else 0.0 for value, total in zip(values, totals, strict=True)]
        bar: dict[str, Any] = {"color": style["color"], "hatch": _HATCHES[column], "edgecolor": "white"}
        axes.barh(range(len(groups)), widths, left=ends, height=0.6, linewidth=0.4, **bar)
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
        _write_numbers(axes, values, 1 + (column + 1) * _NUMBER_IN / _width_in(axes), party, style)


def _write_numbers(axes: Axes, values: Sequence[float | None], right: float, party: str, style: dict[str, Any]) -> None:
    place: dict[str, Any] = {"ha": "right", "fontsize": SMALL_PT}
    head: dict[str, Any] = {"color": style["color"], "fontweight": "bold", "textcoords": "offset points"}
    axes.annotate(party, (right, 1), (0, 4), xycoords="axes fraction", **head, **place)
    for row, value in enumerate(values):
        position: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center_baseline"}
        axes.text(right, row, units.seconds(value), color=INK, **position, **place)


def _width_in(axes: Axes) -> float:
    return axes.get_window_extent().width / _dpi(axes)


def _height_in(axes: Axes) -> float:
    return axes.get_window_extent().height / _dpi(axes)


def _dpi(axes: Axes) -> float:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure.dpi
