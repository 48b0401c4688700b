"""Tables that are no wider than what they are read on."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterator, Sequence

from ppbench.report.table import markdown_table

_BETWEEN = len(" | ")


def terminal_width() -> float:
    """Of standard output, in letters; infinite if it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else math.inf


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
