"""Accuracy against bytes: what a participant sends, and how good the answers are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from matplotlib.transforms import Bbox

from ppbench import units
from ppbench.report.groups import Group, by_dataset, compared, dataset_title, is_reference_only
from ppbench.report.one_page import PAGE_IN
from ppbench.report.placement import Label, place_labels
from ppbench.report.style import (
    DARK_GREY,
    GREY,
    SHADE,
    SMALL_PT,
    WIDTH_IN,
    add_axes,
    add_caption,
    caption_height,
    how_often,
    new_figure,
    not_shown,
    scheme_styles,
    wrapped_label,
)

_MARKER_PT = 7.0
_SEED_PT = 3.5
_UP = "up_bytes_per_sample"
_MOST_NAMES = 12
"""A panel of more schemes and variants names about as many: the baselines, some that no other one beats in both
respects, and the least accurate.
"""
_LEAST_NAMES = 4
_ABOVE_IN = 0.5
_AROUND_IN = 1.05
_LEAST_IN = 1.2
_FEW = 3
_FEW_IN = 1.5


def accuracy_vs_bytes(groups: Sequence[Group]) -> Figure | None:
    """What a participant sends for each sample, and how good the answers are; a panel per data set.

    Plaintext in other batch sizes, which other rows are set against, is not drawn.
    """
    panels = compared([drawn for members in by_dataset(groups) if (drawn := _drawn(members))])
    if not panels:
        return None
    room_in = PAGE_IN - caption_height(_accuracy_caption(groups, [group for members in panels for group in members]))
    panels = panels[: max(1, int(room_in / (_AROUND_IN + _LEAST_IN)))]
    shown = [group for members in panels for group in members]
    caption = _accuracy_caption(groups, shown)
    heights = _heights_in(panels, PAGE_IN - caption_height(caption))
    figure = new_figure(sum(heights) + _AROUND_IN * len(panels) + caption_height(caption))
    styles = scheme_styles(groups)
    top = figure.get_figheight()
    for members, height in zip(panels, heights, strict=True):
        top -= _ABOVE_IN
        axes = add_axes(figure, 0.75, top - height, WIDTH_IN - 1.6, height)
        top -= height + _AROUND_IN - _ABOVE_IN
        axes.set_title(dataset_title(members), pad=16)
        _draw_accuracy(axes, members, styles)
    add_caption(figure, caption)
    return figure


def _drawn(groups: Sequence[Group]) -> list[Group]:
    measured = [group for group in groups if group.median(_UP) is not None and group.median("accuracy") is not None]
    return [group for group in measured if not is_reference_only(group, measured)]


def _heights_in(panels: Sequence[Sequence[Group]], room_in: float) -> list[float]:
    """Of each panel's axes: those with many labels are higher, and together they fit on a page."""
    wanted = [
        _FEW_IN if len(panels) > 1 and len(members) <= _FEW else min(5.5, 3.3 + 0.09 * max(0, len(members) - 6))
        for members in panels
    ]
    excess = sum(wanted) + _AROUND_IN * len(panels) - room_in
    spare = sum(height - _LEAST_IN for height in wanted)
    share = min(1.0, excess / spare) if excess > 0 else 0.0
    return [height - share * (height - _LEAST_IN) for height in wanted]


def _accuracy_caption(groups: Sequence[Group], shown: Sequence[Group]) -> str:
    parts = [
        "Up: TCP payload from participant to coordinator in the online stage. Accuracy: of the answers the participant "
        f"ends up with. Each a {how_often(shown)}. Hollow black diamonds are baselines."
    ]
    if any(group.n_seeds > 1 for group in shown):
        parts.append("Small pale markers are single seeds.")
    if any(len(members) > _MOST_NAMES for members in by_dataset(shown)):
        parts.append(
            "Of many, the baselines are named, the least accurate, and some that no other one beats in both; "
            "summary.csv has all."
        )
    if any(group.is_small_model for group in shown):
        parts.append("Shaded: more bytes than the best small model on the device (local), and less accurate.")
    return " ".join(parts) + not_shown(groups)


def _draw_accuracy(axes: Axes, groups: Sequence[Group], styles: dict[str, dict[str, Any]]) -> None:
    points = [(group, _known(group, _UP), 100 * _known(group, "accuracy")) for group in groups]
    plaintext = next(((x, y) for group, x, y in points if group.scheme == "plaintext"), None)
    compared_with = next((group for group in groups if group.scheme == "plaintext"), groups[0])
    level = 100 * _known(compared_with, "accuracy_plaintext")
    model = compared_with.task[1]
    _set_ranges(axes, groups, level)
    axes.set_xlabel("bytes up per sample")
    axes.set_ylabel("accuracy (%)")
    lines = _shade(axes, points) + _reference_lines(axes, model, level, plaintext[0] if plaintext else None)
    markers = [marker for point in points for marker in _draw_group(axes, *point, styles[point[0].scheme])]
    lines += [_pixel_line(axes, group) for group in groups if group.n_seeds > 1]
    place_labels(axes, [_accuracy_label(*point, model) for point in _named(points)], markers, lines)


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


def _accuracy_label(group: Group, x: float, y: float, model: str) -> Label:
    """Names the coordinator's model where it is not the one that the dotted line is for."""
    text = wrapped_label(group) if group.task[1] == model else f"{wrapped_label(group)},\n{group.task[1]}"
    if group.is_baseline:
        return Label(f"{text}, baseline", x, y, "bold")
    return Label(text, x, y)


def _named(points: Sequence[tuple[Group, float, float]]) -> list[tuple[Group, float, float]]:
    if len(points) <= _MOST_NAMES:
        return list(points)
    unbeaten = [point for point in points if not point[0].is_baseline and not _is_beaten(*point[1:], points)]
    # From the fewest bytes to the best accuracy, evenly.
    unbeaten.sort(key=lambda point: point[1:])
    n = min(len(unbeaten), max(_LEAST_NAMES, _MOST_NAMES - sum(group.is_baseline for group, _, _ in points)))
    chosen = {id(unbeaten[round(i * (len(unbeaten) - 1) / max(1, n - 1))][0]) for i in range(n)}
    chosen.add(id(min(points, key=lambda point: point[2])[0]))
    return [point for point in points if point[0].is_baseline or id(point[0]) in chosen]


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
    """The part where the best small local model is better in both respects; returns where its upper edge runs."""
    edges = []
    small = [(x, y) for group, x, y in points if group.is_small_model]
    for x, y in sorted(small, key=lambda point: -point[1])[:1]:
        right, bottom = axes.get_xlim()[1], axes.get_ylim()[0]
        axes.fill_between([x, right], bottom, y, color=SHADE, linewidth=0, zorder=0)
        edges.append(Bbox([axes.transData.transform((x, y)), axes.transData.transform((right, y))]))
    return edges


def _reference_lines(axes: Axes, model: str, level: float, n_bytes: float | None) -> list[Bbox]:
    """The model's accuracy on clear samples, and plaintext's bytes, named outside the axes; returns where they run."""
    line: dict[str, Any] = {"color": GREY, "linestyle": (0, (1, 2)), "linewidth": 1.2, "zorder": 1}
    name: dict[str, Any] = {"textcoords": "offset points", "fontsize": SMALL_PT, "color": DARK_GREY}
    axes.axhline(level, **line)
    text = f"{model} on\nclear data\n{level:.2f} %"
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
