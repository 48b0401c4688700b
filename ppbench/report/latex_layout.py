"""How wide a table is in print, and what is done where a journal has less room.

It has one column or two: a table that fits one as it is, is as wide as that, any other as wide as a page. Then words
are broken over lines, then the type is smaller, and at last the table is several, with the first columns again. Widths
are estimated for Computer Modern, which is wide.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from ppbench.report.table import Column, Table

COLUMN_PT, PAGE_PT = 252.0, 516.0
"""Of IEEE's journals: 3.5 and 7.16 inches."""
GAP_PT = 6.0
"""Between columns of a table."""
_EM_PT = {"footnotesize": 8.5, "scriptsize": 8.0}
_STEP_PT = 2.0
_WIDTHS_EM = {
    **dict.fromkeys("ABCDEFGHIJKLMNOPQRSTUVWXYZ+=<>~|\N{PLUS-MINUS SIGN}\N{MULTIPLICATION SIGN}", 0.78),
    **dict.fromkeys("mwMW%&@#\N{CHECK MARK}", 0.9),
    **dict.fromkeys("fijlt.,:;!'()[]/ -", 0.39),
}
_OTHER_EM = 0.53
_BREAKS = re.compile(r"(?<=[ _/])")


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a table is set."""

    environment: str
    room_pt: float
    size: str
    """Of the type."""
    widths_pt: tuple[float, ...]
    """Of each column."""
    broken: tuple[bool, ...]
    """Whether a column's words are."""

    @property
    def fits(self) -> bool:
        """Whether there is room."""
        return sum(self.widths_pt) + GAP_PT * (len(self.widths_pt) - 1) <= self.room_pt

    def n_lines(self, row: Sequence[str]) -> int:
        """That a row takes."""
        return max(map(len, map(self.lines, row, range(len(row)))))

    def lines(self, text: str, column: int) -> list[str]:
        """Of a text that is broken in its column."""
        lines = [""]
        for word in _BREAKS.split(text):
            if lines[-1] and self._width_pt(lines[-1] + word.rstrip()) > self.widths_pt[column]:
                lines.append("")
            lines[-1] += word
        return lines

    def _width_pt(self, text: str) -> float:
        return _EM_PT[self.size] * _width_em(text)


def laid_out(table: Table) -> list[tuple[Table, Layout]]:
    """The table, or several with as many of its columns as fit, each with its layout."""
    parts = _parts(table)
    if len(parts) == 1:
        return parts
    return [
        (dataclasses.replace(part, title=f"{part.title} ({i} of {len(parts)})"), layout)
        for i, (part, layout) in enumerate(parts, 1)
    ]


def _parts(table: Table) -> list[tuple[Table, Layout]]:
    layout = _layout(table)
    n_names = next((i for i, column in enumerate(table.columns) if not column.is_text), len(table.columns))
    n_others = len(table.columns) - n_names
    if layout.fits or n_others < 2:
        return [(table, layout)]
    middle = n_names + (n_others + 1) // 2
    return [
        part
        for start, end in ((n_names, middle), (middle, len(table.columns)))
        for part in _parts(_with_columns(table, [*range(n_names), *range(start, end)]))
    ]


def _with_columns(table: Table, kept: Sequence[int]) -> Table:
    rows = tuple(tuple(row[i] for i in kept) for row in table.rows)
    return dataclasses.replace(table, columns=tuple(table.columns[i] for i in kept), rows=rows)


def _layout(table: Table) -> Layout:
    """The first that fits of those that an author would like, best first; or the last."""
    wanted = [
        _as_it_is(table, "table", COLUMN_PT, "footnotesize"),
        *(_narrowed(table, _as_it_is(table, "table*", PAGE_PT, size)) for size in _EM_PT),
    ]
    return next((one for one in wanted if one.fits), wanted[-1])


def _as_it_is(table: Table, environment: str, room_pt: float, size: str) -> Layout:
    widths = tuple(
        _EM_PT[size] * max(map(_width_em, (_longest_word(column.title), *cells))) for column, cells in _by_column(table)
    )
    return Layout(environment, room_pt, size, widths, (False,) * len(widths))


def _narrowed(table: Table, layout: Layout) -> Layout:
    """With words broken until there is room, the widest column first."""
    least = [
        _EM_PT[layout.size] * max(_width_em(_longest_word(text)) for text in (column.title, *cells))
        for column, cells in _by_column(table)
    ]
    spare = [i for i, column in enumerate(table.columns) if column.is_text]
    widths, narrowed = list(layout.widths_pt), layout
    while not narrowed.fits and (spare := [i for i in spare if widths[i] - _STEP_PT >= least[i]]):
        widths[max(spare, key=lambda i: widths[i])] -= _STEP_PT
        broken = tuple(width < wide for width, wide in zip(widths, layout.widths_pt, strict=True))
        narrowed = dataclasses.replace(layout, widths_pt=tuple(widths), broken=broken)
    return narrowed


def _by_column(table: Table) -> list[tuple[Column, list[str]]]:
    return [(column, [row[i] for row in table.rows]) for i, column in enumerate(table.columns)]


def _longest_word(text: str) -> str:
    return max((word.rstrip() for word in _BREAKS.split(text)), key=_width_em)


def _width_em(text: str) -> float:
    return sum(_WIDTHS_EM.get(character, _OTHER_EM) for character in text)
