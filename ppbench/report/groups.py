"""Jobs that differ by their seed alone, taken together: one row of a table, one marker of a picture."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ppbench.cache import digest
from ppbench.records import JobRecord
from ppbench.report.summary import summary

BASELINES = ("plaintext", "local")
"""The schemes that every picture shows for comparison, by name."""

_HOW_OFTEN = ("warmup_batches", "repetitions", "processes", "deadline_s", "calibrate", "view_batches", "memory_bytes")
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

    @functools.cached_property
    def _measured_values(self) -> Mapping[str, list[float]]:
        """Every picture asks for them: taking a column out of a table is slow."""
        numbers = self.rows.select_dtypes("number")
        table = numbers.to_numpy("float64", na_value=math.nan)
        return {
            str(column): values[~np.isnan(values)].tolist() for column, values in zip(numbers, table.T, strict=True)
        }

    @functools.cached_property
    def _medians(self) -> Mapping[str, float]:
        return {column: statistics.median(values) for column, values in self._measured_values.items() if values}

    @property
    def n_seeds(self) -> int:
        """Over how many seeds the medians are."""
        return len({job.seed for job in self.measured})

    def values(self, column: str) -> list[float]:
        """A column of the summary, where it was measured."""
        return self._measured_values[column]

    def median(self, column: str) -> float | None:
        """The median over the seeds; None if it was not measured."""
        return self._medians.get(column)


def grouped(jobs: Sequence[JobRecord]) -> list[Group]:
    """The jobs' groups, each where its first job stands; the baselines come first."""
    by_key: dict[str, list[int]] = {}
    for i, job in enumerate(jobs):
        by_key.setdefault(_key(job), []).append(i)
    together = sorted(by_key.values(), key=lambda members: _rank(jobs[members[0]]))
    labels = _labels([jobs[members[0]] for members in together])
    table = summary(jobs)
    return [
        Group(
            label,
            tuple(jobs[i] for i in members),
            table.iloc[[i for i in members if jobs[i].status == "ok"]],
        )
        for label, members in zip(labels, together, strict=True)
    ]


def by_task(groups: Sequence[Group]) -> list[list[Group]]:
    """Those that share data set and model together."""
    return [list(members) for _, members in itertools.groupby(groups, key=lambda group: group.task)]


def by_dataset(groups: Sequence[Group]) -> list[list[Group]]:
    """Those that share a data set together."""
    return [list(members) for _, members in itertools.groupby(groups, key=lambda group: group.task[0])]


def is_reference_only(group: Group, groups: Sequence[Group]) -> bool:
    """Whether it is plaintext that is there for its batch size alone: another one has more samples."""
    alike = [other for other in groups if other.scheme == "plaintext" and other.task[0] == group.task[0]]
    return group.scheme == "plaintext" and group is not max(alike, key=lambda other: other.median("n_samples") or 0.0)


def compared(panels: Sequence[Sequence[Group]]) -> list[Sequence[Group]]:
    """Those that set a scheme against something: baselines may be there for a scheme whose results are no answers."""
    return [members for members in panels if not all(group.is_baseline for group in members)] or list(panels)


def dataset_title(groups: Sequence[Group]) -> str:
    """Data set of groups that share it, and of model and number of samples what they share too."""
    models = {group.task[1] for group in groups}
    counts = {count for group in groups for count in group.values("n_samples")}
    title = [groups[0].task[0], *(models if len(models) == 1 else ())]
    return ", ".join([*title, *(f"{int(count):,} samples" for count in counts if len(counts) == 1)])


def task_title(groups: Sequence[Group]) -> str:
    """Data set, model and number of samples of groups that share a task, such as "mnist, lenet, 10,000 samples"."""
    counts = {int(count) for group in groups for count in group.values("n_samples")}
    texts = [f"{count:,}" for count in sorted(counts)]
    sizes = [f"{' or '.join(texts) if len(texts) < 3 else f'{texts[0]} to {texts[-1]}'} samples"] if texts else []
    return ", ".join([*groups[0].task, *sizes])


def _key(job: JobRecord) -> str:
    return digest({"scheme": job.scheme, **settings(job)})


def _rank(job: JobRecord) -> tuple[str, str, int]:
    baseline = BASELINES.index(job.scheme) if job.scheme in BASELINES else len(BASELINES)
    return job.dataset, job.model, baseline


def _labels(firsts: Sequence[JobRecord]) -> list[str]:
    """Scheme and variant of each group's first job, and the settings that tell it from its namesakes."""
    namesakes: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    own = [settings(job) for job in firsts]
    for job, settled in zip(firsts, own, strict=True):
        namesakes.setdefault(_name(job), []).append(settled)
    return [_label(job, settled, namesakes[_name(job)]) for job, settled in zip(firsts, own, strict=True)]


def _name(job: JobRecord) -> tuple[str, ...]:
    return job.scheme, job.variant, job.dataset, job.model


def _label(job: JobRecord, own: Mapping[str, Any], namesakes: Sequence[Mapping[str, Any]]) -> str:
    telling = [key for key in own if any(other.get(key) != own[key] for other in namesakes)]
    details = job.variant.split(",") if job.variant else []
    details += [f"{key.rpartition('.')[2]}={_told(key, own[key])}" for key in telling]
    return f"{job.scheme} ({', '.join(details)})" if details else job.scheme


def _told(key: str, value: Any) -> str:
    """How many samples, where it is not set, is all that there are."""
    return "all" if value is None and key.startswith("task.") else str(value)


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
