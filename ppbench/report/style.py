"""How pictures look and are written: for print, for colour-blind readers, and the same bytes for the same results."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ppbench.records import make_folder, write_file
from ppbench.report.groups import Group

FIGURES = "figures"
"""The folder of pictures, in a results folder."""
COLUMN_IN = 3.5
"""Of a picture that one column of a journal has room for."""
WIDTH_IN = 7.16
"""Of any other: two columns, so that fonts have their size in print."""
SMALL_PT = 8.0
_DPI = 200
_CAPTION_CHARACTERS_PER_IN = 16.4
_LABEL_CHARACTERS = 36
_CAPTION_LINE_IN = 0.15
_MOST_NOT_SHOWN = 6

# Okabe and Ito's palette without its yellow, which is too pale for thin marks on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "v", "P", "X", "p", "h", "<", ">", "*")
BASELINE_MARKER = "D"
INK = "#000000"
GREY = "#767676"
DARK_GREY = "#505050"
SHADE = "#F0F0F0"

_METADATA: Any = {
    "png": {"Software": "ppbench"},
    "svg": {"Creator": "ppbench", "Date": None},
    "pdf": {"Creator": "ppbench", "Producer": None, "CreationDate": None},
}
"""What a picture is written as -> what it says of itself: no date and no version, so that the same picture is the same
file.
"""
_STYLE: Any = {
    "font.size": 9,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": SMALL_PT,
    "ytick.labelsize": SMALL_PT,
    "axes.linewidth": 0.8,
    # Text stays text: it can be searched and read aloud.
    "svg.fonttype": "none",
    "svg.hashsalt": "ppbench",
    # Journals refuse the default, Type 3.
    "pdf.fonttype": 42,
}


def write_picture(draw: Callable[[], Figure | None], folder: Path, name: str, pdf: bool = True) -> list[Path]:
    """Write what `draw` drew as NAME.png, .svg and .pdf; returns their paths, none if there was nothing to draw.

    Embedding fonts takes as long as drawing. Without `pdf` only a PDF that is there already is written, so that none is
    older than its picture. Raises PpbenchError if a file cannot be written.
    """
    with matplotlib.rc_context(_STYLE):
        figure = draw()
        if figure is None:
            return []
        make_folder(folder.parent, folder.name)
        paths = {kind: folder / f"{name}.{kind}" for kind in _METADATA}
        if not pdf and not paths["pdf"].exists():
            del paths["pdf"]
        for kind, path in paths.items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=_DPI, metadata=_METADATA[kind])
            write_file(path, buffer.getvalue())
    return list(paths.values())


def new_figure(height_in: float, width_in: float = WIDTH_IN) -> Figure:
    """An empty figure, which measures text as it will be printed."""
    figure = Figure(figsize=(width_in, height_in))
    FigureCanvasAgg(figure)
    return figure


def add_axes(figure: Figure, left_in: float, bottom_in: float, width_in: float, height_in: float) -> Axes:
    """Axes at a place in inches."""
    width, height = figure.get_figwidth(), figure.get_figheight()
    return figure.add_axes((left_in / width, bottom_in / height, width_in / width, height_in / height))


def text_width(figure: Figure, text: str) -> float:
    """Inches that a text in small bold type takes."""
    artist = figure.text(0, 0, text, fontsize=SMALL_PT, fontweight="bold")
    width: float = artist.get_window_extent().width / figure.dpi
    artist.remove()
    return width


def shortened(text: str, width_in: float) -> str:
    """The text, or as much of its beginning as has room."""
    figure = new_figure(1)
    while len(text) > 1 and text_width(figure, text) > width_in:
        text = text.removesuffix("\N{HORIZONTAL ELLIPSIS}")[:-1] + "\N{HORIZONTAL ELLIPSIS}"
    return text


def caption_height(text: str, width_in: float = WIDTH_IN) -> float:
    """Inches to keep free for `add_caption` at the bottom of a figure of a width."""
    return _CAPTION_LINE_IN * len(_wrapped(text, width_in)) + 0.12


def add_caption(figure: Figure, text: str) -> None:
    """Write what the picture shows below it, wrapped to its width."""
    width, height = figure.get_figwidth(), figure.get_figheight()
    lines = "\n".join(_wrapped(text, width))
    figure.text(0.1 / width, 0.08 / height, lines, fontsize=SMALL_PT, va="bottom", color=INK, linespacing=1.3)


def wrapped_label(group: Group) -> str:
    """The group's label, on several lines if it is long."""
    return textwrap.fill(group.label, _LABEL_CHARACTERS, break_on_hyphens=False)


def scheme_styles(groups: Iterable[Group]) -> dict[str, dict[str, Any]]:
    """Colour and marker of each scheme; baselines are hollow and black."""
    baseline = {"color": INK, "marker": BASELINE_MARKER, "markerfacecolor": "white", "markeredgewidth": 1.4}
    names = dict.fromkeys(group.scheme for group in groups if not group.is_baseline)
    return {group.scheme: baseline for group in groups if group.is_baseline} | {
        name: {"color": _COLOURS[i % len(_COLOURS)], "marker": _MARKERS[i % len(_MARKERS)]}
        for i, name in enumerate(names)
    }


def series_styles(n: int) -> list[dict[str, Any]]:
    """Colour and marker of each of n lines."""
    return [{"color": _COLOURS[i % len(_COLOURS)], "marker": _MARKERS[i % len(_MARKERS)]} for i in range(n)]


def how_often(groups: Sequence[Group]) -> str:
    """How many passes and processes the medians are over, such as "median of 3 passes in 1 process"."""
    passes = [int(p * r) for g in groups for p, r in zip(g.values("processes"), g.values("repetitions"), strict=True)]
    processes = [int(value) for group in groups for value in group.values("processes")]
    seeds = [group.n_seeds for group in groups]
    text = f"median of {_span(passes, 'pass', 'passes')} in {_span(processes, 'process', 'processes')}"
    return text + (f", then over {_span(seeds, 'seed', 'seeds')}" if max(seeds, default=1) > 1 else "")


def not_shown(groups: Sequence[Group]) -> str:
    """A sentence on the groups without a measured job; empty if there are none."""
    names = [group.label for group in groups if not group.measured]
    if len(names) > _MOST_NOT_SHOWN:
        names = [*names[:_MOST_NOT_SHOWN], f"and {len(names) - _MOST_NOT_SHOWN:,} more"]
    return f" Failed or unavailable, so not shown: {', '.join(names)}." if names else ""


def _span(counts: Sequence[int], one: str, many: str) -> str:
    least, most = min(counts, default=0), max(counts, default=0)
    amount = f"{least}" if least == most else f"{least} to {most}"
    return f"{amount} {one if most == 1 else many}"


def _wrapped(text: str, width_in: float) -> list[str]:
    return textwrap.wrap(text, int((width_in - 0.2) * _CAPTION_CHARACTERS_PER_IN))
