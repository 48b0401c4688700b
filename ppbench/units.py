"""Numbers as people read them; a dash stands for what was not measured."""

from __future__ import annotations

import math

NOT_MEASURED = "\N{EN DASH}"

_SECONDS = ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s"))
_JOULES = ((1e-9, "nJ"), (1e-6, "µJ"), (1e-3, "mJ"), (1.0, "J"), (1e3, "kJ"))
_BYTES = ((1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"))


def seconds(value: float | None) -> str:
    """A duration in s, such as "12.3 µs"."""
    return _scaled(value, _SECONDS)


def size(value: float | None) -> str:
    """A number of bytes, such as "2.46 MB"; 1 kB is 1,000 B."""
    return _scaled(value, _BYTES)


def energy(value: float | None) -> str:
    """An amount in J, such as "4.26 mJ"."""
    return "0 J" if value == 0 else _scaled(value, _JOULES)


def percent(value: float | None) -> str:
    """A share in [0, 1], such as "98.65 %"."""
    return NOT_MEASURED if value is None else f"{100 * value:.2f} %"


def number(value: float | None) -> str:
    """A plain number, such as "1,569,784" or "2.5"."""
    return NOT_MEASURED if value is None else f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"


def tick(text: str) -> str:
    """A number from above as the label of a tick: "10.0 ms" becomes "10 ms"."""
    value, _, unit = text.partition(" ")
    return f"{float(value):g} {unit}"


def _scaled(value: float | None, units: tuple[tuple[float, str], ...]) -> str:
    if value is None:
        return NOT_MEASURED
    if value == 0:
        return f"0 {units[0][1] if units is _BYTES else 's'}"
    # 999.6 is rounded to 1000 by three digits, so the unit is chosen from what will be shown.
    shown = float(f"{value:.3g}")
    scale, unit = next((pair for pair in reversed(units) if abs(shown) >= pair[0]), units[0])
    return f"{_three_digits(shown / scale)} {unit}"


def _three_digits(value: float) -> str:
    n_whole = max(1, math.floor(math.log10(abs(value)) + 1e-9) + 1)
    return f"{value:.{max(0, 3 - n_whole)}f}"
