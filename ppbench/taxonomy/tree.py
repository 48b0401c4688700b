"""The paper's figure 1, redrawn: its tree, with measured labels beside the paper's at the leaves."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch

from ppbench.modelled.devices import Device
from ppbench.report.one_page import left_out
from ppbench.report.style import (
    DARK_GREY,
    GREY,
    INK,
    SMALL_PT,
    WIDTH_IN,
    add_caption,
    caption_height,
    new_figure,
    shortened,
    text_width,
)
from ppbench.taxonomy.labels import REFERENCE_BYTES, CommunicationLabel, ComputationLabel
from ppbench.taxonomy.rows import TaxonomyRow, rows_for_a_page
from ppbench.taxonomy.thresholds import Thresholds

PAPERS_BRANCHES: tuple[tuple[str, ...], ...] = (
    ("training", "parameter transmission", "distributed machine learning"),
    ("training", "parameter transmission", "model personalization"),
    ("training", "data transmission", "anonymization"),
    ("training", "data transmission", "cryptographic methods"),
    ("training", "data transmission", "data obfuscation", "generative obfuscation"),
    ("training", "data transmission", "data synthesis"),
)
"""Branches of the paper's figure, as its section 2.1 names them; shown as empty where no scheme stands on them."""

_LINE_IN = 0.155
_INDENT_IN = 0.14
_LEFT_IN = 0.12
_HEAD_IN = 0.55
_COMPUTATION_IN = 2.62
_COMMUNICATION_IN = 4.3
_MEASURED_IN = {"computation": 0.95, "communication": 1.17}
_PAPER_IN = {"computation": 0.5, "communication": 1.28}
_MILD, _MIDDLE, _SEVERE = "#D5EDE3", "#FBE9C4", "#F5CDB8"
_FILL = {"low": _MILD, "medium": _MIDDLE, "high": _SEVERE, "compression": _MILD, "retention": _MILD}
_AGREES = {True: ("\N{CHECK MARK}", "#00704F"), False: ("\N{BALLOT X}", "#B34700")}


@dataclasses.dataclass
class _Node:
    """A branch, with what stands on it."""

    name: str
    children: dict[str, _Node] = dataclasses.field(default_factory=dict)
    rows: list[TaxonomyRow] = dataclasses.field(default_factory=list)

    def at(self, path: Sequence[str]) -> _Node:
        node = self
        for name in path:
            node = node.children.setdefault(name, _Node(name))
        return node


@dataclasses.dataclass(frozen=True)
class _Line:
    text: str
    depth: int
    parent: int | None
    """Which line it branches off."""
    row: TaxonomyRow | None = None
    empty: bool = False


def taxonomy_tree(rows: Sequence[TaxonomyRow], thresholds: Thresholds, device: Device) -> Figure | None:
    """One line for each branch and each scheme; None if there are no rows."""
    if not rows:
        return None
    n_rows = len(rows)
    rows = rows_for_a_page(rows)
    lines = list(_lines(_tree(rows)))
    caption = (
        f"Measured labels beside the paper's. Computation: on a {device.title}, by the middle one of modelled seconds, "
        "CPU time over a random projection's and CPU time over plain inference; (memory): it does not fit. "
        f"Communication: more than {thresholds.iterative_above_rounds:g} rounds is iterative; bytes up over "
        f"{REFERENCE_BYTES[thresholds.reference]} are compression, retention or swelling. ~: not firm. "
        "\N{CHECK MARK} and \N{BALLOT X}: whether the "
        "paper says the same. Grey: branches of the paper's figure 1 without a scheme here."
        + left_out(n_rows, len(rows), "taxonomy.csv")
    )
    figure = new_figure(_HEAD_IN + _LINE_IN * len(lines) + 0.1 + caption_height(caption))
    _draw_head(figure)
    for i, line in enumerate(lines):
        _draw_branch(figure, i, line)
        if line.row is not None:
            _draw_labels(figure, i, line.row)
    add_caption(figure, caption)
    return figure


def _tree(rows: Sequence[TaxonomyRow]) -> _Node:
    root = _Node("")
    for row in rows:
        root.at(row.card.taxonomy if row.card else ("not installed here",)).rows.append(row)
    for path in PAPERS_BRANCHES:
        root.at(path)
    return root


def _lines(root: _Node) -> Iterator[_Line]:
    count = 0

    def walk(node: _Node, depth: int, parent: int | None) -> Iterator[_Line]:
        nonlocal count
        own = count
        count += 1
        alone = node.rows[0] if len(node.rows) == 1 and not node.children else None
        if alone and (text := _together(node.name, alone.name, depth)):
            yield _Line(text, depth, parent, alone)
            return
        yield _Line(node.name, depth, parent, empty=not node.rows and not node.children)
        for row in node.rows:
            count += 1
            yield _Line(shortened(row.name, _room_in(depth + 1)), depth + 1, own, row)
        for child in node.children.values():
            yield from walk(child, depth + 1, own)

    for child in root.children.values():
        yield from walk(child, 0, None)


def _together(branch: str, scheme: str, depth: int) -> str | None:
    """A branch with one scheme takes one line if there is room, under the scheme's name if that says it all."""
    text = scheme if branch.lower().replace(" ", "_") in scheme.lower() else f"{branch}: {scheme}"
    return text if _fits(text, depth) else None


def _fits(text: str, depth: int) -> bool:
    return text_width(new_figure(1), text) < _room_in(depth)


def _room_in(depth: int) -> float:
    """Up to where the labels begin."""
    return _COMPUTATION_IN - 0.05 - _LEFT_IN - _INDENT_IN * depth


def _draw_head(figure: Figure) -> None:
    for left_in, side, title in (
        (_COMPUTATION_IN, "computation", "computation"),
        (_COMMUNICATION_IN, "communication", "communication"),
    ):
        _text(figure, left_in, 0.17, title, weight="bold", size=9)
        _text(figure, left_in, 0.38, "measured", colour=DARK_GREY)
        _text(figure, left_in + _MEASURED_IN[side], 0.38, "paper", colour=DARK_GREY)


def _draw_branch(figure: Figure, i: int, line: _Line) -> None:
    middle_in = _middle_in(i)
    left_in = _LEFT_IN + _INDENT_IN * line.depth
    if line.parent is not None:
        stem_in = left_in - _INDENT_IN + 0.04
        _line(figure, (stem_in, stem_in), (_middle_in(line.parent) + 0.08, middle_in))
        _line(figure, (stem_in, left_in - 0.02), (middle_in, middle_in))
    is_branch = line.row is None and not line.empty
    colour = GREY if line.empty else INK
    _text(figure, left_in, middle_in, line.text, colour=colour, weight="bold" if is_branch else "normal")


def _draw_labels(figure: Figure, i: int, row: TaxonomyRow) -> None:
    middle_in = _middle_in(i)
    if not row.group.measured:
        _text(figure, _COMPUTATION_IN, middle_in, f"{row.job.status} here", colour=DARK_GREY)
    papers = (row.card.computation, row.card.communication) if row.card else (None, None)
    sides: tuple[tuple[str, float, ComputationLabel | CommunicationLabel | None, str | None, bool | None], ...] = (
        ("computation", _COMPUTATION_IN, row.computation, papers[0], row.computation_agrees),
        ("communication", _COMMUNICATION_IN, row.communication, papers[1], row.communication_agrees),
    )
    for side, left_in, label, paper, agrees in sides:
        if label is not None:
            _chip(figure, left_in, middle_in, _MEASURED_IN[side] - 0.1, _fill(label))
            _text(figure, left_in, middle_in, label.text if label.firm else f"{label.text} ~")
        paper_in = left_in + _MEASURED_IN[side]
        _text(figure, paper_in, middle_in, paper or "\N{EN DASH}", colour=INK if paper else GREY)
        if agrees is not None:
            mark, colour = _AGREES[agrees]
            _text(figure, paper_in + _PAPER_IN[side], middle_in, mark, colour=colour, weight="bold", size=9)


def _fill(label: ComputationLabel | CommunicationLabel) -> str:
    if isinstance(label, ComputationLabel):
        return _FILL[label.label]
    if label.iterative:
        return _SEVERE
    return _FILL.get(label.expansion, _MIDDLE)


def _middle_in(i: int) -> float:
    """From the top."""
    return _HEAD_IN + _LINE_IN * (i + 0.5)


def _text(
    figure: Figure,
    left_in: float,
    from_top_in: float,
    text: str,
    colour: str = INK,
    weight: str = "normal",
    size: float = SMALL_PT,
) -> None:
    x, y = left_in / WIDTH_IN, 1 - from_top_in / figure.get_figheight()
    figure.text(x, y, text, fontsize=size, fontweight=weight, color=colour, va="center_baseline")


def _line(figure: Figure, across_in: tuple[float, float], from_top_in: tuple[float, float]) -> None:
    height = figure.get_figheight()
    xs, ys = [x / WIDTH_IN for x in across_in], [1 - y / height for y in from_top_in]
    figure.add_artist(Line2D(xs, ys, color=GREY, linewidth=0.7))


def _chip(figure: Figure, left_in: float, middle_in: float, width_in: float, colour: str) -> None:
    height = figure.get_figheight()
    corner = (left_in - 0.04) / WIDTH_IN, 1 - (middle_in + 0.07) / height
    size = (width_in + 0.04) / WIDTH_IN, 0.14 / height
    box = FancyBboxPatch(corner, *size, boxstyle="square,pad=0", linewidth=0, facecolor=colour, zorder=0)
    figure.add_artist(box)
