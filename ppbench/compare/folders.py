"""Two results folders held against each other, job by job."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from ppbench.cache import digest
from ppbench.compare import judge
from ppbench.compare.figures import Figure, figures
from ppbench.compare.judge import Comparison
from ppbench.instructions import callgrind
from ppbench.records import JobRecord
from ppbench.report.groups import grouped, settings

Outcome = Literal["no regression", "regression", "not comparable", "nothing compared"]


@dataclasses.dataclass(frozen=True)
class Compared:
    """All that was compared, and what could not be."""

    comparisons: tuple[Comparison, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    other_data: tuple[str, ...]
    """Jobs whose data set has other contents in the two folders: no figure of theirs can be compared."""
    failed: Mapping[str, str]
    """Job that was measured before -> why it was not after."""
    not_before: Mapping[str, str]
    """Job that both have -> why it was not measured before, whatever became of it after."""

    @property
    def outcome(self) -> Outcome:
        """A job that now fails is a regression, whatever its figures were."""
        if self.failed or any(comparison.is_regression for comparison in self.comparisons):
            return "regression"
        if any(comparison.verdict != "cannot tell" for comparison in self.comparisons):
            return "no regression"
        return "not comparable" if self.comparisons or self.other_data else "nothing compared"


def compare(before: Sequence[JobRecord], after: Sequence[JobRecord], in_turn: bool = False) -> Compared:
    """Figure by figure, of the jobs that both have; `in_turn`: both were measured alternately, on one machine."""
    asked = _Asked(before, after)
    old, new = ({asked.key(job): job for job in jobs} for jobs in (before, after))
    names = {asked.key(job): name for job, name in _names([*after, *before])}
    common = [key for key in old if key in new]
    counted: list[Comparison] = []
    here: list[tuple[str, Figure, Figure]] = []
    elsewhere: list[tuple[str, Figure, Figure]] = []
    failed, not_before, other_data = {}, {}, []
    for key in common:
        job, was, now = names[key], old[key], new[key]
        if was.status != "ok":
            not_before[job] = f"{was.status}: {was.reason}"
            continue
        if now.status != "ok":
            failed[job] = f"{now.status}: {now.reason}"
            continue
        if was.provenance.data_sha256 != now.provenance.data_sha256:
            other_data.append(job)
            continue
        clocked = here if _machine(was) == _machine(now) else elsewhere
        later = {figure.metric: figure for figure in figures(now)}
        for figure in figures(was):
            if figure.metric not in later:
                counted.append(judge.gone(job, figure))
            elif figure.kind == "instructions":
                counted.append(judge.executed(job, figure, later[figure.metric], _counter(was) == _counter(now)))
            elif figure.kind == "measured":
                clocked.append((job, figure, later[figure.metric]))
            else:
                counted.append(judge.counted(job, figure, later[figure.metric]))
    return Compared(
        comparisons=(*counted, *judge.measured(here, decides=in_turn), *judge.on_two_machines(elsewhere)),
        only_before=tuple(names[key] for key in old if key not in new),
        only_after=tuple(names[key] for key in new if key not in old),
        other_data=tuple(other_data),
        failed=failed,
        not_before=not_before,
    )


class _Asked:
    """What a job was to measure, without how often: the same in both folders, whatever options came between them."""

    def __init__(self, before: Sequence[JobRecord], after: Sequence[JobRecord]) -> None:
        old, new = (set().union(*(settings(job) for job in jobs)) for jobs in (before, after))
        self._known = old & new
        if any(len({self.key(job) for job in jobs}) < len(jobs) for jobs in (before, after)):
            # An option that only one of them knows tells its jobs apart.
            self._known = old | new

    def key(self, job: JobRecord) -> str:
        """The same for jobs that are to be compared."""
        known = {option: value for option, value in settings(job).items() if option in self._known}
        return digest({"scheme": job.scheme, "seed": job.seed, **known})


def _names(jobs: Sequence[JobRecord]) -> Iterator[tuple[JobRecord, str]]:
    """Each with the label that a table would have, data set and model, and a seed that is not 0."""
    for group in grouped(jobs):
        for job in group.jobs:
            yield job, ", ".join([group.label, *group.task, *([f"seed {job.seed}"] if job.seed else [])])


def _counter(job: JobRecord) -> tuple[object, ...]:
    """Who counted instructions, and of what: valgrind is the same processor wherever it runs."""
    made, name = job.provenance, job.config["measure"].get("instructions")
    if name == callgrind.Callgrind.name:
        return name, made.python_version, made.package_versions.get(callgrind.PROGRAM)
    return name, *_machine(job)


def _machine(job: JobRecord) -> tuple[object, ...]:
    made = job.provenance
    return made.cpu, made.n_cpus, made.memory_bytes, made.platform, made.python_version, made.machines
