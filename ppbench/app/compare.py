"""`ppbench compare BEFORE AFTER`: which folders are meant, and what is said of them."""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from ppbench import units
from ppbench.app.in_turn import measured_in_turn
from ppbench.app.results_dir import newest
from ppbench.compare.figures import unit_of
from ppbench.compare.folders import Compared, Outcome, compare
from ppbench.compare.judge import Comparison
from ppbench.errors import ConfigError, PpbenchError, in_range
from ppbench.records import JobRecord
from ppbench.report.table import table_within
from ppbench.report.width import terminal_width
from ppbench.store import read_all

STATUS: dict[Outcome, int] = {"no regression": 0, "regression": 1, "not comparable": 5, "nothing compared": 6}
_HEADER = ("job", "figure", "before", "after", "ratio", "verdict", "why")
_N_TEXT_COLUMNS = 2
_WRITTEN = {"share": units.percent, "bytes": units.size, "s": units.seconds}


def print_comparison(given: Sequence[str], form: str) -> int:
    """Compare two results folders, `-` for the newest below results/local, and print it; returns the exit status.

    Raises PpbenchError if they are not two folders. One in which nothing can be read is nothing to compare with.
    """
    if len(given) != 2:
        raise ConfigError(f"two results folders are compared, not {len(given)}: {' '.join(given)}")
    folders = [newest() if name == "-" else Path(name) for name in given]
    if missing := next((folder for folder in folders if not folder.is_dir()), None):
        raise PpbenchError(f"there is no folder {missing}")
    unreadable: list[str] = []
    before, after = (_readable(folder, unreadable) for folder in folders)
    compared = compare(before, after)
    return _printed(compared, [str(folder) for folder in folders], form, unreadable)


def _readable(folder: Path, unreadable: list[str]) -> list[JobRecord]:
    """The jobs of a folder; why there are none is added to what cannot be read."""
    try:
        return read_all(folder)
    except PpbenchError as error:
        unreadable.append(str(error))
        return []


def print_in_turn(other: str, overrides: Sequence[str], n_processes: int, form: str) -> int:
    """Measure jobs by another version and by this one alternately, compare and print; returns the exit status.

    Raises PpbenchError as `measured_in_turn` does.
    """
    in_range("--processes", n_processes, 1)
    compared = compare(*measured_in_turn(other, overrides, n_processes), in_turn=True)
    # What was measured for this is kept nowhere else.
    return _printed(compared, [other, "this version"], form, [], everything=True)


def _printed(
    compared: Compared, sides: Sequence[str], form: str, unreadable: Sequence[str], everything: bool = False
) -> int:
    if form == "json":
        print(json.dumps(_document(compared, sides, unreadable), indent=1, allow_nan=False))
    else:
        print("\n".join([*unreadable, *_lines(compared, sides, everything)]))
    return STATUS[compared.outcome]


def _lines(compared: Compared, sides: Sequence[str], everything: bool) -> Iterator[str]:
    """What differs, or everything, as a table; of the rest, how much there is."""
    shown = [one for one in compared.comparisons if everything or one.verdict in ("better", "worse")]
    shown.sort(key=lambda one: (not one.is_regression, one.verdict != "worse", one.verdict != "better"))
    if shown:
        yield from table_within(terminal_width(), _HEADER, [_row(one) for one in shown], _N_TEXT_COLUMNS)
        yield ""
    for job, why in compared.failed.items():
        yield f"- {job}: measured before, now {why}"
    for job, why in compared.not_before.items():
        yield f"- {job}: not measured before: {why}"
    for title, names in (
        (f"only in {sides[0]}", compared.only_before),
        (f"only in {sides[1]}", compared.only_after),
        ("not compared, because the data differ", compared.other_data),
    ):
        yield from (f"- {name}: {title}" for name in names)
    verdicts = collections.Counter(one.verdict for one in compared.comparisons)
    told = ", ".join(f"{count:,} {verdict}" for verdict, count in verdicts.most_common())
    yield f"{compared.outcome}: {len(compared.comparisons):,} figures compared" + (f" ({told})" if told else "")
    doubts = collections.Counter(one.why for one in compared.comparisons if one.verdict == "cannot tell")
    for why, count in doubts.most_common():
        yield f"- {count:,} cannot be told: {why}"


def _row(one: Comparison) -> list[str]:
    ratio = units.NOT_MEASURED if one.ratio is None else f"{one.ratio:.3g}"
    if one.ratio_low is not None and one.ratio_high is not None:
        ratio += f" [{one.ratio_low:.3g}, {one.ratio_high:.3g}]"
    verdict = one.verdict if one.decides or one.verdict == "better" else f"{one.verdict} (does not decide)"
    return [one.job, one.metric, _shown(one.metric, one.before), _shown(one.metric, one.after), ratio, verdict, one.why]


def _shown(metric: str, value: float | None) -> str:
    unit = unit_of(metric)
    return _WRITTEN[unit](value) if unit else units.number(value)


def _document(compared: Compared, sides: Sequence[str], unreadable: Sequence[str]) -> dict[str, object]:
    return {
        "outcome": compared.outcome,
        "before": sides[0],
        "after": sides[1],
        "unreadable": unreadable,
        "comparisons": [dataclasses.asdict(one) | {"ratio": one.ratio} for one in compared.comparisons],
        "failed": dict(compared.failed),
        "not_before": dict(compared.not_before),
        "only_before": compared.only_before,
        "only_after": compared.only_after,
        "other_data": compared.other_data,
    }
