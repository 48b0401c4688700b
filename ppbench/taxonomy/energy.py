"""Energy for one sample on the reference device: what computing and what the radio of each class of link takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from ppbench import units
from ppbench.modelled.devices import Device
from ppbench.report.one_page import left_out
from ppbench.report.style import (
    DARK_GREY,
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
from ppbench.taxonomy.plane import LinkPanel, drawn_rows
from ppbench.taxonomy.rows import TaxonomyRow, rows_for_a_page

_ROW_IN = 0.22
_HEAD_IN = 0.8
_AXIS_IN = 0.5
_SHARE_IN = 0.52
_GAP_IN = 0.12
_LABEL_IN = 2.2
_COMPUTE = {"color": "#0072B2", "label": "computing"}
_RADIO = {"color": "#E69F00", "label": "radio", "hatch": "////"}


def taxonomy_energy(rows: Sequence[TaxonomyRow], panels: Sequence[LinkPanel], device: Device) -> Figure | None:
    """A row per scheme: on a logarithmic axis how much on each link, beside it stacked bars of who takes it."""
    drawn = [row for row in drawn_rows(rows) if _compute_j(row) is not None]
    shown = sorted(rows_for_a_page(drawn), key=lambda row: _compute_j(row) or 0.0)
    if not shown or not panels:
        return None
    caption = (
        f"Modelled energy for one sample to classify, without setup: computing on a {device.title} at "
        f"{1000 * device.power_w:g} mW, and the radio of each class of link. Left: both together, with the "
        "range of computing. Right: the share of each; empty where the link does not carry the scheme."
    )
    if any(row.overhead.misfit for row in shown):
        caption += " * does not fit into the device's memory."
    caption += left_out(len(drawn), len(shown), "taxonomy.csv")
    figure = new_figure(_HEAD_IN + _ROW_IN * len(shown) + _AXIS_IN + caption_height(caption))
    height = figure.get_figheight()
    names = [shortened(row.name, _LABEL_IN) + ("*" if row.overhead.misfit else "") for row in shown]
    label_in = max(text_width(figure, name) for name in names) + 0.15
    shares_in = (_SHARE_IN + _GAP_IN) * len(panels)
    bottom, tall = (height - _HEAD_IN - _ROW_IN * len(shown)) / height, _ROW_IN * len(shown) / height
    width_in = WIDTH_IN - label_in - shares_in - 0.25
    axes = figure.add_axes((label_in / WIDTH_IN, bottom, width_in / WIDTH_IN, tall))
    _draw_totals(axes, shown, names, panels)
    for i, panel in enumerate(panels):
        left_in = WIDTH_IN - shares_in - 0.1 + i * (_SHARE_IN + _GAP_IN) + _GAP_IN
        shares = figure.add_axes((left_in / WIDTH_IN, bottom, _SHARE_IN / WIDTH_IN, tall))
        _draw_shares(shares, shown, panel, str(i + 1))
    _draw_legends(figure, axes, panels)
    add_caption(figure, caption)
    return figure


def _compute_j(row: TaxonomyRow) -> float | None:
    energy = row.cost.energy_j_per_sample if row.cost else None
    return energy.best if energy else None


def _draw_totals(axes: Axes, rows: Sequence[TaxonomyRow], names: Sequence[str], panels: Sequence[LinkPanel]) -> None:
    axes.set_xscale("log")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), names)
    axes.tick_params(axis="y", length=0)
    for y, row in enumerate(rows):
        axes.axhline(y, color="#DDDDDD", linewidth=0.6, zorder=0)
        axes.get_yticklabels()[y].set_fontweight("bold" if row.group.is_baseline else "normal")
        energy = row.cost.energy_j_per_sample if row.cost else None
        for panel, style in zip(panels, _styles(panels), strict=True):
            radio_j = panel.radio_j.get(row.name)
            if energy is not None and radio_j is not None:
                ends = [energy.low + radio_j, energy.high + radio_j]
                axes.plot(ends, [y, y], color=style["color"], linewidth=0.8, zorder=2)
                axes.plot([energy.best + radio_j], [y], linestyle="none", markersize=5, zorder=3, **style)
    low, high = axes.get_xlim()
    axes.set_xlim(low / 1.5, high * 1.5)
    axes.xaxis.set_major_locator(LogLocator(numticks=max(2, int(_width_in(axes) / 0.6))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: units.tick(units.energy(value))))
    axes.set_xlabel("energy per sample (logarithmic)")


def _draw_shares(axes: Axes, rows: Sequence[TaxonomyRow], panel: LinkPanel, number: str) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    axes.set_xticks([0, 1], ["0", "1"])
    axes.spines["left"].set_visible(False)
    for y, row in enumerate(rows):
        compute_j, radio_j = _compute_j(row), panel.radio_j.get(row.name)
        if compute_j is None or radio_j is None or not compute_j + radio_j:
            continue
        share = compute_j / (compute_j + radio_j)
        for left, width, part in ((0.0, share, _COMPUTE), (share, 1 - share, _RADIO)):
            look: dict[str, Any] = {"color": part["color"], "hatch": part.get("hatch", ""), "edgecolor": "white"}
            axes.barh([y], [width], left=left, height=0.62, linewidth=0.3, **look)
    axes.set_title(number, loc="center", fontsize=SMALL_PT, pad=3)


def _draw_legends(figure: Figure, axes: Axes, panels: Sequence[LinkPanel]) -> None:
    height = figure.get_figheight()
    for i, (panel, style) in enumerate(zip(panels, _styles(panels), strict=True)):
        x, y = 0.15 + 2.4 * (i % 2), height - 0.14 - 0.2 * (i // 2)
        key = figure.add_axes((x / WIDTH_IN, (y - 0.06) / height, 0.12 / WIDTH_IN, 0.12 / height))
        key.set_axis_off()
        key.plot([0], [0], linestyle="none", markersize=5, **style)
        figure.text(
            (x + 0.18) / WIDTH_IN, y / height, f"{i + 1}  {panel.title}", fontsize=SMALL_PT, va="center_baseline"
        )
    right = WIDTH_IN - 0.1
    for part, offset_in in ((_COMPUTE, 1.75), (_RADIO, 0.75)):
        x, y = right - offset_in, height - 0.14
        key = figure.add_axes((x / WIDTH_IN, (y - 0.05) / height, 0.16 / WIDTH_IN, 0.1 / height))
        key.set_axis_off()
        key.barh([0], [1], height=1, color=part["color"], hatch=part.get("hatch", ""), edgecolor="white", linewidth=0.3)
        figure.text(
            (x + 0.22) / WIDTH_IN, y / height, part["label"], fontsize=SMALL_PT, va="center_baseline", color=INK
        )
    left, middle = axes.get_position().x0, (height - _HEAD_IN + 0.12) / height
    figure.text(left, middle, "both together", fontsize=SMALL_PT, color=DARK_GREY, va="center_baseline")


def _width_in(axes: Axes) -> float:
    return float(axes.get_position().width * WIDTH_IN)


def _styles(panels: Sequence[LinkPanel]) -> list[Mapping[str, Any]]:
    return list(series_styles(len(panels)))
