"""Jobs with other values than were measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ppbench.records import JobRecord, Record


def changed(job: JobRecord, change: Callable[[Record], float | None]) -> JobRecord:
    """The job with other values; None takes a record away."""
    values = [(record, change(record)) for record in job.records]
    kept = [dataclasses.replace(record, value=value) for record, value in values if value is not None]
    return job.model_copy(update={"records": kept})


def times(metric: str, factor: float) -> Callable[[Record], float]:
    return lambda record: record.value * (factor if record.metric == metric and record.stage == "online" else 1.0)


def plus(metric: str, more: float, stage: str = "online") -> Callable[[Record], float]:
    return lambda record: record.value + (more if record.metric == metric and record.stage == stage else 0.0)
