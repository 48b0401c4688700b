r"""A table as LaTeX: floats in booktabs' style, brought in with `\input`, that any engine compiles.

A table that is longer than a page is cut, and says so.
"""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence
from itertools import groupby

from ppbench.report.latex_layout import COLUMN_PT, GAP_PT, PAGE_PT, Layout, laid_out
from ppbench.report.latex_text import CHECK_MARK, escaped
from ppbench.report.table import Column, Table

_MOST_LINES = 52
"""Of the rows and notes of a table, so that a page holds it with its caption."""
_NOTE_CHARACTERS = {COLUMN_PT: 66, PAGE_PT: 138}
"""Of a line of a note."""


def latex(name: str, tables: Sequence[Table]) -> str:
    """The floats of a file `NAME.tex`; they are labelled `tab:NAME`, and numbered where they are several."""
    shown = [dataclasses.replace(table, rows=table.rows[:_MOST_LINES]) for table in tables]
    parts = [(*part, len(table.rows)) for table, first in zip(tables, shown, strict=True) for part in laid_out(first)]
    labels = [name] if len(parts) == 1 else [f"{name}-{i}" for i in range(1, len(parts) + 1)]
    packages = ["booktabs"]
    if any(CHECK_MARK in cell for table in tables for row in table.rows for cell in row):
        packages.append("amssymb")
    needed = ",".join(packages)
    head = rf"% Needs \usepackage{{{needed}}}. \input{{{name}}} brings it in, \ref{{tab:{labels[0]}}} names it."
    floats = [
        _float(label, table, layout, n_rows, f"{name}.md")
        for label, (table, layout, n_rows) in zip(labels, parts, strict=True)
    ]
    return "\n\n".join([head, *floats]) + "\n"


def _float(label: str, table: Table, layout: Layout, n_rows: int, elsewhere: str) -> str:
    rows = _for_a_page(table, layout)
    left_out = [f"The first {len(rows):,} of {n_rows:,} rows; {elsewhere} has all."] if len(rows) < n_rows else []
    return "\n".join(
        [
            rf"\begin{{{layout.environment}}}",
            r"\centering",
            rf"\caption{{{escaped(table.title)}}}",
            rf"\label{{tab:{label}}}",
            rf"\{layout.size}",
            rf"\setlength{{\tabcolsep}}{{{GAP_PT / 2:g}pt}}",
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


def _for_a_page(table: Table, layout: Layout) -> Sequence[tuple[str, ...]]:
    room = _MOST_LINES - sum(len(textwrap.wrap(note, _NOTE_CHARACTERS[layout.room_pt])) for note in table.notes)
    for n_rows, row in enumerate(table.rows):
        room -= layout.n_lines(row)
        if room < 0:
            return table.rows[: max(1, n_rows)]
    return table.rows


def _kinds(table: Table, layout: Layout) -> list[str]:
    return [
        f"p{{{width_pt:.0f}pt}}" if broken else "l" if column.is_text else "r"
        for column, width_pt, broken in zip(table.columns, layout.widths_pt, layout.broken, strict=True)
    ]


def _header(columns: Sequence[Column], layout: Layout) -> list[str]:
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
    titles = [layout.lines(column.title, i) for i, column in enumerate(columns)]
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
