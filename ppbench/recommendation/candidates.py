"""What was measured, held against a question: each scheme and variant with its costs, or with the reasons why not."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from scipy import stats  # type: ignore[import-untyped]

from ppbench import units
from ppbench.errors import PpbenchError, UnavailableError
from ppbench.modelled.device_cost import is_calibrated
from ppbench.modelled.use import DAY_S, Use, UseCost, use_cost
from ppbench.party import role_of
from ppbench.recommendation.question import Question
from ppbench.records import JobRecord
from ppbench.registry import SCHEMES
from ppbench.report.groups import Group, grouped, is_reference_only
from ppbench.report.names import short_names
from ppbench.scheme import COORDINATOR, PARTICIPANT

_CONFIDENCE = 0.95
_HOUR_S = 3600.0
_NUMBERS = ("accuracy", "rounds", "payload_", "modelled_", "counted_")
"""How the names of columns begin that may have missing numbers."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One scheme and variant, for one question."""

    name: str
    """Short and unique."""
    group: Group
    job: JobRecord
    """The one that the costs are of: of several seeds, the first that was calibrated."""
    cost: UseCost | None
    """None where it could not be modelled."""
    protects: str
    """By its card, which is believed; empty for a scheme that is not installed here."""
    third_parties: tuple[str, ...]
    """Roles that took part beside participant and coordinator."""
    reasons: tuple[str, ...]
    """Why it is not feasible, or not what was asked for; none if it is."""
    remarks: tuple[str, ...]
    """What to know of one that is."""
    beaten_by: tuple[Candidate, ...] = ()
    """The feasible baselines than which it is better in no column."""

    @property
    def feasible(self) -> bool:
        """Whether it is all that was asked for."""
        return not self.reasons

    @property
    def accuracy(self) -> float | None:
        """Median over seeds; None for a scheme whose results are no answers."""
        return self.group.median("accuracy")

    @property
    def n_samples(self) -> int:
        """That the accuracy is of."""
        return int(self.group.median("n_answers") or self.group.median("n_samples") or 0)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of the accuracy, by the number of samples alone (Clopper, Pearson, 1934), with a confidence of 95 %."""
        if self.accuracy is None or not self.n_samples:
            return None
        found = stats.binomtest(round(self.accuracy * self.n_samples), self.n_samples)
        interval = found.proportion_ci(_CONFIDENCE, "exact")
        return float(interval.low), float(interval.high)

    @property
    def energy_j(self) -> float:
        """What they are in order of."""
        return self.cost.j_per_sample.best if self.cost and self.cost.j_per_sample else math.inf

    @property
    def rounds(self) -> float | None:
        """Of a batch."""
        return self.group.median("rounds")

    @property
    def batch_size(self) -> int:
        """In samples."""
        return int(self.job.config["task"]["batch_size"])


def candidates(jobs: Sequence[JobRecord], question: Question, use: Use) -> list[Candidate]:
    """All that was measured of what is asked: by data set what is feasible, in order of energy, then the rest.

    Plaintext jobs that are there for their batch size alone are left out. Raises PpbenchError if there is nothing of
    what is asked, or nothing that could be modelled.
    """
    if not any(_is_modelled(job) for job in jobs):
        raise PpbenchError("there is no job that a device could be modelled from: run it with measure.calibrate=true")
    groups = grouped(jobs)
    shown = [group for group in groups if not is_reference_only(group, groups)]
    asked = [
        _candidate(name, group, question, use)
        for name, group in zip(short_names(shown), shown, strict=True)
        if _is_asked(group, question)
    ]
    if not asked:
        raise PpbenchError(_nothing(shown, question))
    datasets = list(dict.fromkeys(one.job.dataset for one in asked))
    asked.sort(key=lambda one: (datasets.index(one.job.dataset), not one.feasible, one.energy_j))
    return [_compared(one, asked) for one in asked]


def table(found: Sequence[Candidate]) -> pd.DataFrame:
    """One row per candidate, in their order; what could not be modelled is missing."""
    table = pd.DataFrame([row(one) for one in found])
    return table.astype({name: "float64" for name in table if str(name).startswith(_NUMBERS)})


def row(one: Candidate) -> dict[str, Any]:
    """A candidate in plain values: units are in the names, and how each is known where it is not measured."""
    cost, interval = one.cost, one.interval or (None, None)
    energy = cost.j_per_sample if cost else None
    return {
        "name": one.name,
        "scheme": one.group.scheme,
        "variant": one.group.variant,
        "dataset": one.job.dataset,
        "model": one.job.model,
        "task": one.job.task,
        "batch_size": one.batch_size,
        "baseline": one.group.is_baseline,
        "feasible": one.feasible,
        "reason": "; ".join(one.reasons),
        "remark": "; ".join(one.remarks),
        "beaten_by": "; ".join(other.name for other in one.beaten_by),
        "accuracy": one.accuracy,
        "accuracy_low": interval[0],
        "accuracy_high": interval[1],
        "n_samples": one.n_samples,
        "rounds": one.rounds,
        "payload_bytes_per_sample": cost and cost.payload_bytes_per_sample,
        "modelled_device_s_per_sample": cost and cost.device_s_per_sample,
        "modelled_link_s_per_sample": cost and cost.link_s_per_sample,
        "modelled_answer_s": cost and cost.answer_s,
        "modelled_j_per_sample": energy and energy.best,
        "modelled_j_per_sample_low": energy and energy.low,
        "modelled_j_per_sample_high": energy and energy.high,
        "modelled_once_j": cost and cost.once_j,
        "modelled_battery_days": cost and cost.battery_days,
        "modelled_busy_s_per_day": cost and cost.busy_s_per_day,
        "modelled_coordinator_cores": cost and cost.coordinator_cores,
        "modelled_terabytes_per_month": cost and cost.terabytes_per_month,
        "counted_ram_bytes": cost and cost.ram_bytes,
        "counted_flash_bytes": cost and cost.flash_bytes,
        "third_parties": ", ".join(one.third_parties),
        "protects": one.protects,
        "job": one.job.id,
    }


def _is_modelled(job: JobRecord) -> bool:
    return job.status == "ok" and is_calibrated(job)


def _is_asked(group: Group, question: Question) -> bool:
    dataset, model = group.task
    pairs = ((question.dataset, dataset), (question.model, model), (question.task, group.jobs[0].task))
    return all(not asked or asked == has for asked, has in pairs)


def _nothing(groups: Sequence[Group], question: Question) -> str:
    asked = [f"{name}={getattr(question, name)}" for name in ("task", "dataset", "model") if getattr(question, name)]
    there = dict.fromkeys(", ".join(filter(None, (group.jobs[0].task, *group.task))) for group in groups)
    return f"there is no job of {' '.join(asked)} (there are: {'; '.join(there)})"


def _candidate(name: str, group: Group, question: Question, use: Use) -> Candidate:
    job = next(filter(_is_modelled, group.measured), (group.measured or group.jobs)[0])
    cost, why_not = None, ""
    try:
        cost = use_cost(job, use)
    except UnavailableError as error:
        why_not = str(error) if job.status == "ok" else f"{job.status}: {' '.join(job.reason.split())}"
    found = Candidate(name, group, job, cost, _protects(group), _third_parties(job), (), ())
    reasons = [why_not] if cost is None else [*cost.reasons, *_not_as_asked(found, cost, question)]
    remarks = _remarks(found, cost, question) if cost else ()
    return dataclasses.replace(found, reasons=tuple(reasons), remarks=tuple(remarks))


def _not_as_asked(one: Candidate, cost: UseCost, question: Question) -> Iterator[str]:
    if cost.left_out:
        yield f"cannot be told, as the model leaves it out: {cost.left_out}"
    if one.accuracy is not None and one.accuracy < question.accuracy_min:
        yield f"accuracy {units.percent(one.accuracy)}, below {100 * question.accuracy_min:g} %"
    if not question.third_party and one.third_parties:
        yield f"needs a third party: {', '.join(one.third_parties)}"
    if question.latency_max_s is not None and cost.answer_s is not None and cost.answer_s > question.latency_max_s:
        yield f"answers after {duration(cost.answer_s)}{_because_of_batches(one, question)}"


def _because_of_batches(one: Candidate, question: Question) -> str:
    full_s = (one.batch_size - 1) * DAY_S / question.samples_per_day
    if full_s <= (question.latency_max_s or 0.0):
        return ""
    return f", as it was measured in batches of {one.batch_size:,} (task.batch_size=1 measures it one by one)"


def _remarks(one: Candidate, cost: UseCost, question: Question) -> Iterator[str]:
    if cost.condition:
        yield f"fits the device {cost.condition}"
    if one.interval and one.interval[0] < question.accuracy_min:
        yield (
            f"on {one.n_samples:,} samples its accuracy may as well be {units.percent(one.interval[0])}, below "
            f"{100 * question.accuracy_min:g} %"
        )
    if one.third_parties:
        yield f"needs a third party: {', '.join(one.third_parties)}"


def _third_parties(job: JobRecord) -> tuple[str, ...]:
    roles = {role_of(record.party) for record in job.records if record.party}
    return tuple(sorted(roles - {PARTICIPANT, COORDINATOR}))


def _protects(group: Group) -> str:
    try:
        return SCHEMES.load(group.scheme).card.protects
    except PpbenchError:
        return ""


def _compared(one: Candidate, others: Sequence[Candidate]) -> Candidate:
    """A scheme with the baselines that beat it: each of them is as good in every column, and better in one."""
    if not one.feasible or one.group.is_baseline:
        return one
    own = _weighed(one)
    beaten_by = [
        other
        for other in others
        if other.group.is_baseline
        and other.feasible
        and other.job.dataset == one.job.dataset
        and (theirs := _weighed(other)) != own
        and all(their <= its for their, its in zip(theirs, own, strict=True))
    ]
    return dataclasses.replace(one, beaten_by=tuple(beaten_by))


def _weighed(one: Candidate) -> tuple[float, ...]:
    """What the table has of a feasible one, the less the better."""
    cost = one.cost
    assert cost is not None
    values = (
        None if one.accuracy is None else -one.accuracy,
        cost.device_s_per_sample,
        cost.link_s_per_sample,
        cost.payload_bytes_per_sample,
        one.rounds,
        one.energy_j,
        cost.once_j,
        cost.ram_bytes,
        cost.flash_bytes,
    )
    return tuple(math.inf if value is None else value for value in values)


def duration(value_s: float | None) -> str:
    """As people say it: seconds, hours or days."""
    if value_s is None or value_s < _HOUR_S:
        return units.seconds(value_s)
    if value_s < 2 * DAY_S:
        return f"{value_s / _HOUR_S:,.1f} hours"
    days = value_s / DAY_S
    return f"{days:,.1f} days" if days < 100 else f"{days:,.0f} days"
