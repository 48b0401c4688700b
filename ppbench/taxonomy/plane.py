"""The plane of computation and communication, with the paper's labels as its regions: a panel per class of link."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from ppbench import units
from ppbench.modelled.devices import Device
from ppbench.report.one_page import PAGE_IN, left_out
from ppbench.report.placement import Label, place_labels
from ppbench.report.style import (
    DARK_GREY,
    GREY,
    INK,
    SMALL_PT,
    WIDTH_IN,
    add_caption,
    caption_height,
    new_figure,
    series_styles,
    shortened,
    text_width,
)
from ppbench.taxonomy.labels import REFERENCE_BYTES
from ppbench.taxonomy.rows import TaxonomyRow, rows_for_a_page
from ppbench.taxonomy.thresholds import Thresholds

_PANEL_WIDTH_IN = 2.5
_PANEL_HEIGHT_IN = 2.3
_LEFT_IN = 0.72
_ACROSS_IN = 3.3
_TOP_IN = 0.52
_BELOW_IN = 0.48
_KEY_LINE_IN = 0.15
_KEY_MARKER_IN = 0.3
_MARKER_PT = 5.5
_MILD, _MIDDLE, _SEVERE = "#E4F3EC", "#FDF4DF", "#FAE4D8"


@dataclasses.dataclass(frozen=True)
class LinkPanel:
    """What a class of links makes of the rows."""

    title: str
    radio_j: Mapping[str, float]
    """Name of a row -> modelled joules of the radio for one sample, where the link carries samples."""
    infeasible: Mapping[str, str]
    """Name of a row -> why the link does not carry it: its samples, or its training."""
    bytes_carried: Mapping[str, float]
    """A time, such as "1 s" -> the bytes that it carries up in it."""


def taxonomy_plane(
    rows: Sequence[TaxonomyRow], panels: Sequence[LinkPanel], thresholds: Thresholds, device: Device
) -> Figure | None:
    """Every scheme in every panel, hollow where the link does not carry it; None if no row has both measures."""
    drawn = drawn_rows(rows)
    if not drawn:
        return None
    titled: Sequence[LinkPanel | None] = list(panels) or [None]
    n_across = min(2, len(titled))
    n_down = -(-len(titled) // n_across)
    width_in = _PANEL_WIDTH_IN if n_across == 2 else WIDTH_IN - _LEFT_IN - 0.95
    panel_in = _TOP_IN + _PANEL_HEIGHT_IN + _BELOW_IN
    caption = _caption(drawn, panels, thresholds, device) + left_out(len(drawn), 0, "taxonomy.csv")
    key_columns = _key_columns(drawn)
    most_lines = int((PAGE_IN - panel_in * n_down - caption_height(caption) - 0.2) / _KEY_LINE_IN)
    shown = rows_for_a_page(drawn, key_columns * max(1, most_lines))
    caption = _caption(drawn, panels, thresholds, device) + left_out(len(drawn), len(shown), "taxonomy.csv")
    key_lines = -(-len(shown) // key_columns)
    key_in = _KEY_LINE_IN * key_lines + 0.2
    figure = new_figure(panel_in * n_down + key_in + caption_height(caption))
    height = figure.get_figheight()
    for i, panel in enumerate(titled):
        left_in = _LEFT_IN + _ACROSS_IN * (i % n_across)
        bottom_in = height - panel_in * (i // n_across) - _TOP_IN - _PANEL_HEIGHT_IN
        axes = figure.add_axes((left_in / WIDTH_IN, bottom_in / height, width_in / WIDTH_IN, _PANEL_HEIGHT_IN / height))
        _draw(axes, shown, panel, thresholds, is_leftmost=i % n_across == 0)
    _draw_key(figure, shown, key_columns, height - panel_in * n_down)
    add_caption(figure, caption)
    return figure


def drawn_rows(rows: Sequence[TaxonomyRow]) -> list[TaxonomyRow]:
    """Those with both measures, on the data set that most of them share: axes are per sample of one kind."""
    complete = [row for row in rows if row.device_s_per_sample and row.overhead.up_bytes_per_sample]
    datasets = [row.job.dataset for row in complete]
    return [row for row in complete if row.job.dataset == max(datasets, key=datasets.count)]


def _draw(
    axes: Axes, rows: Sequence[TaxonomyRow], panel: LinkPanel | None, thresholds: Thresholds, is_leftmost: bool
) -> None:
    points = [(row.device_s_per_sample, row.overhead.up_bytes_per_sample) for row in rows]
    known = [(seconds, n_bytes) for seconds, n_bytes in points if seconds is not None and n_bytes is not None]
    axes.set_xscale("log")
    axes.set_yscale("log")
    lows, highs = [seconds.low for seconds, _ in known], [seconds.high for seconds, _ in known]
    positive = [low for low in (*lows, *(seconds.best for seconds, _ in known)) if low > 0]
    # All three regions are in the picture, whatever was measured.
    times = thresholds.device_s_per_sample
    axes.set_xlim(min(*positive, times.lower) / 4, max(*highs, times.upper) * 4)
    axes.set_ylim(min(n_bytes for _, n_bytes in known) / 8, max(n_bytes for _, n_bytes in known) * 12)
    _draw_regions(axes, rows, thresholds)
    lines = _draw_times(axes, panel) if panel else []
    labels, markers = [], []
    for i, (row, (seconds, n_bytes)) in enumerate(zip(rows, known, strict=True)):
        hollow = panel is not None and row.name in panel.infeasible
        axes.plot([seconds.low, seconds.high], [n_bytes, n_bytes], linewidth=0.9, color=_style(row, rows)["color"])
        axes.plot([seconds.best], [n_bytes], linestyle="none", zorder=4, **_style(row, rows, hollow))
        lines.append(
            Bbox([axes.transData.transform((seconds.low, n_bytes)), axes.transData.transform((seconds.high, n_bytes))])
        )
        labels.append(Label(str(i + 1), seconds.best, n_bytes))
        markers.append((seconds.best, n_bytes, _MARKER_PT))
    place_labels(axes, labels, markers, lines)
    axes.xaxis.set_major_locator(LogLocator(numticks=6))
    axes.yaxis.set_major_locator(LogLocator(numticks=9))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _seconds(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: units.tick(units.size(value))))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=0)
    axes.set_xlabel("device time per sample, modelled")
    if is_leftmost:
        axes.set_ylabel("bytes up per sample")
    axes.set_title(panel.title if panel else "", pad=16)


def _seconds(value: float) -> str:
    """Days of computing are told in few characters, or they would touch their neighbour."""
    return units.tick(units.seconds(value)) if value < 1e4 else f"1e{round(math.log10(value))} s"


def _draw_regions(axes: Axes, rows: Sequence[TaxonomyRow], thresholds: Thresholds) -> None:
    """The thresholds' bands, darker for more overhead, with their names on the upper and right edges."""
    times = thresholds.device_s_per_sample
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    xs = [left, *(min(max(x, left), right) for x in (times.lower, times.upper)), right]
    for start, end, colour in zip(xs, xs[1:], (_MILD, _MIDDLE, _SEVERE), strict=False):
        axes.fill_between([start, end], bottom, top, color=colour, linewidth=0, zorder=0)
    name: dict[str, Any] = {"fontsize": SMALL_PT, "color": DARK_GREY, "textcoords": "offset points"}
    for start, end, label in zip(xs, xs[1:], ("low", "medium", "high"), strict=False):
        if end > start:
            middle = (start * end) ** 0.5
            axes.annotate(label, (middle, 1), (0, 3), xycoords=("data", "axes fraction"), ha="center", **name)
    known = (row.overhead.reference_bytes_per_sample for row in rows)
    reference = next((n_bytes for n_bytes in known if n_bytes is not None), None)
    if reference is None:
        return
    borders = [reference * thresholds.expansion.lower, reference * thresholds.expansion.upper]
    axes.fill_between([left, right], borders[1], top, color=_SEVERE, alpha=0.55, linewidth=0, zorder=0.5)
    for border in borders:
        axes.axhline(border, color=GREY, linewidth=0.6, zorder=1)
    places = {"swelling": (borders[1], 4, "bottom"), "compression": (borders[0], -4, "top")}
    for label, (y, up_pt, align) in places.items():
        axes.annotate(
            label, (1, y), (3, up_pt), xycoords=("axes fraction", "data"), va=align, rotation=90, ha="left", **name
        )


def _draw_times(axes: Axes, panel: LinkPanel) -> list[Bbox]:
    """How much the link carries in some times, as far as the panel reaches; returns where the lines run."""
    boxes = []
    bottom, top = axes.get_ylim()
    for text, n_bytes in panel.bytes_carried.items():
        if bottom < n_bytes < top:
            axes.axhline(n_bytes, color=INK, linewidth=0.7, linestyle=(0, (1, 2)), zorder=1)
            named = axes.annotate(
                text,
                (0, n_bytes),
                (3, 1),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                fontsize=SMALL_PT,
            )
            area = axes.get_window_extent()
            y = axes.transData.transform((axes.get_xlim()[0], n_bytes))[1]
            boxes += [named.get_window_extent(), Bbox.from_extents(area.x0, y - 1, area.x1, y + 1)]
    return boxes


def _key_columns(rows: Sequence[TaxonomyRow]) -> int:
    """As many as the longest name leaves room for."""
    widest_in = max(text_width(new_figure(1), f"{row.name}*") for row in rows) + _KEY_MARKER_IN
    return max(1, min(3, int((WIDTH_IN - 0.2) / widest_in)))


def _draw_key(figure: Figure, rows: Sequence[TaxonomyRow], n_columns: int, top_in: float) -> None:
    """Which number is which scheme."""
    height = figure.get_figheight()
    n_lines = -(-len(rows) // n_columns)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH_IN)
    axes.set_ylim(0, height)
    for i, row in enumerate(rows):
        x, y = 0.15 + (WIDTH_IN - 0.2) / n_columns * (i // n_lines), top_in - 0.1 - _KEY_LINE_IN * (i % n_lines)
        axes.plot([x], [y], linestyle="none", **_style(row, rows))
        star = "*" if row.overhead.misfit else ""
        axes.text(
            x + 0.12,
            y,
            f"{i + 1}  {shortened(row.name, WIDTH_IN - 1)}{star}",
            fontsize=SMALL_PT,
            va="center_baseline",
            color=INK,
        )


def _style(row: TaxonomyRow, rows: Sequence[TaxonomyRow], hollow: bool = False) -> dict[str, Any]:
    """Colours are of families; shapes say what the plane has no axis for: rounds."""
    families = list(dict.fromkeys(other.family for other in rows if not other.group.is_baseline))
    styles = dict(zip(families, series_styles(len(families)), strict=True))
    colour = INK if row.group.is_baseline else styles[row.family]["color"]
    iterative = row.communication is not None and row.communication.iterative
    marker = "D" if row.group.is_baseline else "^" if iterative else "o"
    face = "white" if hollow else colour
    return {
        "color": colour,
        "marker": marker,
        "markersize": _MARKER_PT,
        "markerfacecolor": face,
        "markeredgewidth": 1.1,
    }


def _caption(rows: Sequence[TaxonomyRow], panels: Sequence[LinkPanel], thresholds: Thresholds, device: Device) -> str:
    text = (
        f"Device time: modelled on a {device.title}, with its range. Bytes: TCP payload. Shaded: "
        "from what time on computation is called low, medium or high; lines across: "
        f"{REFERENCE_BYTES[thresholds.reference]} times "
        f"{thresholds.expansion.lower:g} and {thresholds.expansion.upper:g}, between which data is retained. Triangles "
        f"are iterative (more than {thresholds.iterative_above_rounds:g} rounds), diamonds baselines."
    )
    if panels:
        text += " Hollow: the link does not carry it. Dotted: what it carries up in a second, a minute, an hour."
    if any(row.overhead.misfit for row in rows):
        text += " * does not fit into the device's memory."
    return text
