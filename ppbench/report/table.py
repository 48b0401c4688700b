"""A table, described once: its columns, its rows, and what is to be said of them; and how it reads as Markdown."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Sequence

_MARKS = re.compile(r"[|*<`]")
_BETWEEN = len(" | ")


@dataclasses.dataclass(frozen=True)
class Column:
    """What a column holds."""

    title: str
    is_text: bool
    """Words, which print may break over lines; else a number with its unit."""
    over: str = ""
    """A heading that it shares with its neighbours of the same one."""


@dataclasses.dataclass(frozen=True)
class Table:
    """Cells as people read them, not yet escaped for anything."""

    title: str
    """What it shows; its caption in print."""
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    """Paragraphs that the columns are not understood without."""
    details: tuple[str, ...] = ()
    """Lines of Markdown on single rows: too many for print."""


def text_columns(*titles: str, over: str = "") -> tuple[Column, ...]:
    """Columns of words."""
    return tuple(Column(title, is_text=True, over=over) for title in titles)


def number_columns(*titles: str, over: str = "") -> tuple[Column, ...]:
    """Columns of numbers."""
    return tuple(Column(title, is_text=False, over=over) for title in titles)


def markdown(tables: Sequence[Table], width: float = math.inf) -> str:
    """The tables below one another, no wider than so many letters; what several of them say is said once."""
    parts = ["\n".join([f"{table.title}:", "", *_lines(table, width)]) for table in tables]
    parts += dict.fromkeys(note for table in tables for note in table.notes)
    details = [line for table in tables for line in table.details]
    return "\n\n".join([*parts, *(["\n".join(details)] if details else [])]) + "\n"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], n_text_columns: int) -> list[str]:
    """Lines of equal length; the first columns are flush left, those after `n_text_columns` flush right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    left = [i < n_text_columns for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if is_left else cell.rjust(width)
            for cell, width, is_left in zip(cells, widths, left, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if is_left else "-" * (width - 1) + ":" for width, is_left in zip(widths, left, strict=True)]
    return [line(header), line(rule), *map(line, rows)]


def table_within(
    width: float, header: Sequence[str], rows: Sequence[Sequence[str]], n_text_columns: int
) -> Iterator[str]:
    """Lines of `markdown_table`; if they would be longer than `width`, of several, each with the first columns again.

    Each has at least one column beside those, however wide.
    """
    sizes = [max(len(row[i]) for row in (header, *rows)) + _BETWEEN for i in range(len(header))]
    for number, others in enumerate(_blocks(width, sizes, n_text_columns)):
        shown = [*range(n_text_columns), *others]
        yield from [""] if number else []
        yield from markdown_table([header[i] for i in shown], [[row[i] for i in shown] for row in rows], n_text_columns)


def _blocks(width: float, sizes: Sequence[int], n_first: int) -> list[list[int]]:
    """The columns behind the first ones, so many together as there is room for."""
    least = sum(sizes[:n_first]) + 1
    blocks: list[list[int]] = [[]]
    taken = least
    for column in range(n_first, len(sizes)):
        if blocks[-1] and taken + sizes[column] > width:
            blocks.append([])
            taken = least
        blocks[-1].append(column)
        taken += sizes[column]
    return blocks


def _lines(table: Table, width: float) -> Iterator[str]:
    """A heading over several columns stands before the first one's title: Markdown has none."""
    columns = table.columns
    before = ["", *(column.over for column in columns)]
    header = [
        f"{column.over}: {column.title}" if column.over not in ("", last) else column.title
        for column, last in zip(columns, before, strict=False)
    ]
    n_text_columns = next((i for i, column in enumerate(columns) if not column.is_text), len(columns))
    return table_within(width, header, [[_cell(cell) for cell in row] for row in table.rows], n_text_columns)


def _cell(text: str) -> str:
    return _MARKS.sub(r"\\\g<0>", " ".join(text.split()))
