"""The answer as text, in a terminal and as Markdown: what is feasible, why not the rest, and for whom it holds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

from ppbench import units
from ppbench.modelled.use import DAY_S, Use, UseCost
from ppbench.recommendation.candidates import Candidate, duration
from ppbench.recommendation.question import Question, in_words
from ppbench.report.table import table_within

HOW_KNOWN = (
    "Measured: accuracy, with its interval of 95 % by the number of samples alone.",
    "Counted: bytes (TCP payload up and down, of a sample), rounds (of a batch), RAM and flash (the least needed).",
    "Modelled, never measured there: seconds on the device and on the link, and joules, of a sample in a batch of the "
    "size that it was measured in; their range, which is that of computing; once, the joules of setup and training; "
    "battery; coordinator cores; terabytes a month of 30 days.",
    "Not modelled: what a device takes while it sleeps, senses or boots, nor a battery's age. A sample "
    "that is sent alone costs more than one in a batch.",
)
"""What each figure is, one sentence a kind."""

_TEXT_COLUMNS = ("scheme", "model")


def text(found: Sequence[Candidate], question: Question, use: Use, where: str, width: float = math.inf) -> str:
    """A table per data set of what is feasible, at most `width` letters wide, the rest, and for whom all this holds."""
    parts = [
        "\n".join(_dataset(dataset, list(members), question, width))
        for dataset, members in itertools.groupby(found, key=lambda one: one.job.dataset)
    ]
    parts.append(
        f"This holds for {in_words(question, use)}; for schemes as they were measured in {where}. For another device, "
        "link or rate the order is another one."
    )
    return "\n\n".join([*parts, "\n".join(f"- {line}" for line in HOW_KNOWN)]) + "\n"


def _dataset(dataset: str, members: Sequence[Candidate], question: Question, width: float) -> Iterator[str]:
    feasible = [one for one in members if one.feasible]
    rest = [one for one in members if not one.feasible]
    if feasible:
        yield f"{dataset}: feasible, in order of energy for a sample:"
        yield ""
        columns = _columns(feasible, question)
        rows = [[of(one) for of in columns.values()] for one in feasible]
        yield from table_within(width, list(columns), rows, sum(title in columns for title in _TEXT_COLUMNS))
        yield ""
        yield from (line for one in feasible for line in _told(one))
    else:
        yield f"{dataset}: nothing of what was measured is feasible."
    if rest:
        yield ""
        yield "Not feasible, or not as asked:"
        yield ""
        yield from (line for one in rest for line in _listed(f"- {_name(one)}: ", one.reasons))


def _columns(feasible: Sequence[Candidate], question: Question) -> dict[str, Callable[[Candidate], str]]:
    """Title -> cell. A column is there if it was asked for, or if it tells rows apart."""
    columns: dict[str, Callable[[Candidate], str]] = {"scheme": _name}
    if len({one.job.model for one in feasible}) > 1:
        columns["model"] = lambda one: one.job.model
    columns |= {
        "accuracy": lambda one: units.percent(one.accuracy),
        "95 %": _interval,
        "batch": lambda one: f"{one.batch_size:,}",
        "device": _of(lambda cost: units.seconds(cost.device_s_per_sample)),
        "link": _of(lambda cost: duration(cost.link_s_per_sample)),
        "bytes": _of(lambda cost: units.size(cost.payload_bytes_per_sample)),
        "rounds": lambda one: units.number(one.rounds),
        "energy": _of(lambda cost: units.energy(None if cost.j_per_sample is None else cost.j_per_sample.best)),
        "range": _of(_range),
        "once": _of(lambda cost: units.energy(cost.once_j)),
    }
    if question.battery_wh is not None:
        columns["battery"] = _of(_battery)
    if question.latency_max_s is not None:
        columns["answer"] = _of(lambda cost: duration(cost.answer_s))
    columns |= {
        "RAM": _of(lambda cost: units.size(cost.ram_bytes)),
        "flash": _of(lambda cost: units.size(cost.flash_bytes)),
    }
    if question.n_devices > 1:
        columns["cores"] = _of(lambda cost: _rough(cost.coordinator_cores))
        columns["TB/month"] = _of(lambda cost: _rough(cost.terabytes_per_month))
    return columns


def _of(written: Callable[[UseCost], str]) -> Callable[[Candidate], str]:
    return lambda one: units.NOT_MEASURED if one.cost is None else written(one.cost)


def _name(one: Candidate) -> str:
    name = one.name.replace("|", "\\|")
    return f"{name}, baseline" if one.group.is_baseline else name


def _interval(one: Candidate) -> str:
    if one.interval is None:
        return units.NOT_MEASURED
    low, high = one.interval
    return f"{100 * low:.1f} to {100 * high:.1f}"


def _range(cost: UseCost) -> str:
    if cost.j_per_sample is None:
        return units.NOT_MEASURED
    return f"{units.energy(cost.j_per_sample.low)} to {units.energy(cost.j_per_sample.high)}"


def _rough(value: float) -> str:
    """To three digits, however many there are."""
    return units.number(float(f"{value:.3g}"))


def _battery(cost: UseCost) -> str:
    return units.NOT_MEASURED if cost.battery_days is None else duration(cost.battery_days * DAY_S)


def _told(one: Candidate) -> Iterator[str]:
    """What a row has no room for."""
    whole = f", that is {one.group.label}," if one.group.variant else ""
    yield f"- {one.name}{whole} protects, by its card: {one.protects or 'unknown, as it is not installed here'}"
    yield from (f"  - {remark}" for remark in one.remarks)
    if one.beaten_by:
        yield f"  - no better in any column than {'; '.join(map(_as_a_bar, one.beaten_by))}"


def _listed(begin: str, parts: Sequence[str]) -> Iterator[str]:
    """One behind it, several below it."""
    if len(parts) == 1:
        yield begin + parts[0]
        return
    yield begin.rstrip()
    yield from (f"  - {part}" for part in parts)


def _as_a_bar(baseline: Candidate) -> str:
    return f"{baseline.name} (which protects nothing)" if baseline.protects == "nothing" else baseline.name
