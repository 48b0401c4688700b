"""Jobs that differ by their seed alone, taken together: one row of a table, one marker of a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ppbench.cache import digest
from ppbench.records import JobRecord
from ppbench.report.summary import summary

BASELINES = ("plaintext", "local")
"""The schemes that every picture shows for comparison, by name."""

_HOW_OFTEN = ("warmup_batches", "repetitions", "processes", "deadline_s", "calibrate", "view_batches")
"""Options of `measure` that change how well a value is known and not what it is."""


@dataclasses.dataclass(frozen=True)
class Group:
    """Jobs that differ by their seed alone."""

    label: str
    """Scheme and variant, and what else tells the group from the others."""
    jobs: tuple[JobRecord, ...]
    rows: pd.DataFrame
    """The summary of those jobs that were measured, one row each."""

    @property
    def scheme(self) -> str:
        """Its name."""
        return self.jobs[0].scheme

    @property
    def variant(self) -> str:
        """The scheme's options that differ from their defaults."""
        return self.jobs[0].variant

    @property
    def task(self) -> tuple[str, str]:
        """Data set and model."""
        return self.jobs[0].dataset, self.jobs[0].model

    @property
    def is_baseline(self) -> bool:
        """Whether the scheme is there to be compared with."""
        return self.scheme in BASELINES

    @property
    def is_small_model(self) -> bool:
        """Whether it is a small model on the device, not the coordinator's, and sends only the label."""
        return self.scheme == "local" and self.jobs[0].config["scheme"].get("model", "task") != "task"

    @property
    def measured(self) -> tuple[JobRecord, ...]:
        """The jobs that ended well."""
        return tuple(job for job in self.jobs if job.status == "ok")

    @property
    def n_seeds(self) -> int:
        """Over how many seeds the medians are."""
        return len({job.seed for job in self.measured})

    def values(self, column: str) -> list[float]:
        """A column of the summary, where it was measured."""
        return [float(value) for value in self.rows[column] if pd.notna(value)]

    def median(self, column: str) -> float | None:
        """The median over the seeds; None if it was not measured."""
        values = self.values(column)
        return float(pd.Series(values).median()) if values else None


def grouped(jobs: Sequence[JobRecord]) -> list[Group]:
    """The jobs' groups, each where its first job stands; the baselines come first."""
    by_key: dict[str, list[JobRecord]] = {}
    for job in jobs:
        by_key.setdefault(_key(job), []).append(job)
    together = sorted(by_key.values(), key=lambda group: _rank(group[0]))
    return [_group(group, [other[0] for other in together]) for group in together]


def dataset_title(groups: Sequence[Group]) -> str:
    """Data set of groups that share it, and of model and number of samples what they share too."""
    models = {group.task[1] for group in groups}
    counts = {count for group in groups for count in group.values("n_samples")}
    title = [groups[0].task[0], *(models if len(models) == 1 else ())]
    return ", ".join([*title, *(f"{int(count):,} samples" for count in counts if len(counts) == 1)])


def task_title(groups: Sequence[Group]) -> str:
    """Data set, model and number of samples of groups that share a task, such as "mnist, lenet, 10,000 samples"."""
    counts = {int(count) for group in groups for count in group.values("n_samples")}
    sizes = [f"{' or '.join(f'{count:,}' for count in sorted(counts))} samples"] if counts else []
    return ", ".join([*groups[0].task, *sizes])


def _key(job: JobRecord) -> str:
    return digest({"scheme": job.scheme, **settings(job)})


def _rank(job: JobRecord) -> tuple[str, str, int]:
    baseline = BASELINES.index(job.scheme) if job.scheme in BASELINES else len(BASELINES)
    return job.dataset, job.model, baseline


def _group(jobs: Sequence[JobRecord], firsts: Sequence[JobRecord]) -> Group:
    measured = [job for job in jobs if job.status == "ok"]
    return Group(_label(jobs[0], firsts), tuple(jobs), summary(measured))


def _label(job: JobRecord, firsts: Sequence[JobRecord]) -> str:
    def name(other: JobRecord) -> tuple[str, ...]:
        return other.scheme, other.variant, other.dataset, other.model

    own = settings(job)
    namesakes = [settings(other) for other in firsts if name(other) == name(job)]
    telling = [key for key in own if any(other.get(key) != own[key] for other in namesakes)]
    details = job.variant.split(",") if job.variant else []
    details += [f"{key.rpartition('.')[2]}={own[key]}" for key in telling]
    return f"{job.scheme} ({', '.join(details)})" if details else job.scheme


def settings(job: JobRecord) -> dict[str, Any]:
    """Everything that was asked for and decides what is measured, flat, but not the seed."""
    flat = _flat(job.config, "")
    ignored = {"seed", *(f"measure.{option}" for option in _HOW_OFTEN)}
    return {key: value for key, value in flat.items() if key not in ignored}


def _flat(tree: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        inner = _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
        flat.update(inner)
    return flat
