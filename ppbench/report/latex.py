r"""A table as LaTeX: a float in booktabs' style, brought in with `\input`, that any engine compiles.

A journal has one column or two: a table that fits one as it is, is as wide as that, any other as wide as a page. Then
words are broken over lines where that is not enough, and at last the type is smaller. Widths are estimated for Computer
Modern, which is wide. A table that is longer than a page is cut, and says so.
"""

from __future__ import annotations

import dataclasses
import re
import textwrap
from collections.abc import Sequence
from itertools import groupby

from ppbench.report.latex_text import CHECK_MARK, escaped
from ppbench.report.table import Column, Table

_SINGLE_PT, _DOUBLE_PT = 252.0, 516.0
"""Widths of a column and of a page of IEEE's journals: 3.5 and 7.16 inches."""
_SIZES = {"footnotesize": 4.1, "scriptsize": 3.75}
"""Type -> points that a character takes on average."""
_GAP_PT = 6.0
_MOST_LINES = 52
"""Of the rows and notes of a table, so that a page holds it with its caption."""
_NOTE_CHARACTERS = {_SINGLE_PT: 66, _DOUBLE_PT: 138}
"""Of a line of a note."""
_BREAKS = re.compile(r"(?<=[ _/])")


@dataclasses.dataclass(frozen=True)
class _Layout:
    """How a table is set."""

    environment: str
    room_pt: float
    size: str
    widths: tuple[int, ...]
    """Of each column, in characters."""
    broken: tuple[bool, ...]
    """Whether a column's words are."""

    @property
    def width_pt(self) -> float:
        return sum(self.widths) * _SIZES[self.size] + _GAP_PT * (len(self.widths) - 1)


def latex(name: str, tables: Sequence[Table]) -> str:
    """The floats of a file `NAME.tex`; they are labelled `tab:NAME`, and numbered where they are several."""
    labels = [name] if len(tables) == 1 else [f"{name}-{i}" for i in range(1, len(tables) + 1)]
    packages = ["booktabs"]
    if any(CHECK_MARK in cell for table in tables for row in table.rows for cell in row):
        packages.append("amssymb")  # has \checkmark
    needed = ",".join(packages)
    head = rf"% Needs \usepackage{{{needed}}}. \input{{{name}}} brings it in, \ref{{tab:{labels[0]}}} names it."
    floats = [_float(label, table, f"{name}.md") for label, table in zip(labels, tables, strict=True)]
    return "\n\n".join([head, *floats]) + "\n"


def _float(label: str, table: Table, elsewhere: str) -> str:
    n_rows = len(table.rows)
    table = dataclasses.replace(table, rows=table.rows[:_MOST_LINES])
    layout = _layout(table)
    rows = _for_a_page(table, layout)
    left_out = [f"The first {len(rows):,} of {n_rows:,} rows; {elsewhere} has all."] if len(rows) < n_rows else []
    return "\n".join(
        [
            rf"\begin{{{layout.environment}}}",
            r"\centering",
            rf"\caption{{{escaped(table.title)}}}",
            rf"\label{{tab:{label}}}",
            rf"\{layout.size}",
            rf"\setlength{{\tabcolsep}}{{{_GAP_PT / 2:g}pt}}",
            rf"\begin{{tabular}}{{@{{}}{''.join(_kinds(table, layout))}@{{}}}}",
            r"\toprule",
            *_header(table.columns, layout),
            r"\midrule",
            *(_row([_cell(cell, broken) for cell, broken in zip(row, layout.broken, strict=True)]) for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            *_below([*table.notes, *left_out]),
            rf"\end{{{layout.environment}}}",
        ]
    )


def _layout(table: Table) -> _Layout:
    """The first that fits of those that an author would like, best first; or the last."""
    natural = [max(map(len, (_longest_word(column.title), *cells))) for column, cells in _by_column(table)]
    as_it_is = tuple(natural), (False,) * len(natural)
    double = [_Layout("table*", _DOUBLE_PT, size, *as_it_is) for size in _SIZES]
    wanted = [_Layout("table", _SINGLE_PT, "footnotesize", *as_it_is), *(_narrowed(table, one) for one in double)]
    return next((one for one in wanted if one.width_pt <= one.room_pt), wanted[-1])


def _narrowed(table: Table, layout: _Layout) -> _Layout:
    """With words broken until there is room, the widest column first."""
    least = [
        max(len(_longest_word(text)) for text in (column.title, *cells)) if column.is_text else width
        for (column, cells), width in zip(_by_column(table), layout.widths, strict=True)
    ]
    widths = list(layout.widths)
    while dataclasses.replace(layout, widths=tuple(widths)).width_pt > layout.room_pt:
        wide = [i for i in range(len(widths)) if widths[i] > least[i]]
        if not wide:
            break
        widths[max(wide, key=lambda i: widths[i])] -= 1
    broken = tuple(width < natural for width, natural in zip(widths, layout.widths, strict=True))
    return dataclasses.replace(layout, widths=tuple(widths), broken=broken)


def _by_column(table: Table) -> list[tuple[Column, list[str]]]:
    return [(column, [row[i] for row in table.rows]) for i, column in enumerate(table.columns)]


def _longest_word(text: str) -> str:
    return max(_BREAKS.split(text), key=len).rstrip()


def _for_a_page(table: Table, layout: _Layout) -> Sequence[tuple[str, ...]]:
    room = _MOST_LINES - sum(len(textwrap.wrap(note, _NOTE_CHARACTERS[layout.room_pt])) for note in table.notes)
    for n_rows, row in enumerate(table.rows):
        room -= max(_n_lines(cell, width) for cell, width in zip(row, layout.widths, strict=True))
        if room < 0:
            return table.rows[: max(1, n_rows)]
    return table.rows


def _n_lines(text: str, width: int) -> int:
    n_lines, taken = 1, 0
    for word in _BREAKS.split(text):
        if taken and taken + len(word.rstrip()) > width:
            n_lines, taken = n_lines + 1, 0
        taken += len(word)
    return n_lines


def _kinds(table: Table, layout: _Layout) -> list[str]:
    return [
        f"p{{{width * _SIZES[layout.size]:.0f}pt}}" if broken else "l" if column.is_text else "r"
        for column, width, broken in zip(table.columns, layout.widths, layout.broken, strict=True)
    ]


def _header(columns: Sequence[Column], layout: _Layout) -> list[str]:
    """Titles are broken over lines; above them, what several columns share."""
    lines = []
    if any(column.over for column in columns):
        cells, rules, n_before = [], [], 0
        for over, members in groupby(column.over for column in columns):
            n_columns = len(list(members))
            cells.append(rf"\multicolumn{{{n_columns}}}{{c}}{{{escaped(over)}}}")
            rules += [rf"\cmidrule(lr){{{n_before + 1}-{n_before + n_columns}}}"] if over else []
            n_before += n_columns
        lines += [_row(cells), "".join(rules)]
    titles = [
        textwrap.wrap(column.title, width, break_long_words=False) or [""]
        for column, width in zip(columns, layout.widths, strict=True)
    ]
    height = max(map(len, titles))
    raised = [[""] * (height - len(title)) + title for title in titles]
    return lines + [_row([escaped(title[i]) for title in raised]) for i in range(height)]


def _cell(text: str, broken: bool) -> str:
    return rf"\raggedright {escaped(text, breaks=True)}" if broken else escaped(text)


def _row(cells: Sequence[str]) -> str:
    # Not \\, which means something else behind \raggedright.
    return rf"{' & '.join(cells)} \tabularnewline"


def _below(notes: Sequence[str]) -> list[str]:
    if not notes:
        return []
    paragraphs = r" \par ".join(map(escaped, notes))
    return [r"\par\smallskip", rf"\begin{{minipage}}{{\linewidth}}\scriptsize\raggedright {paragraphs}\end{{minipage}}"]
