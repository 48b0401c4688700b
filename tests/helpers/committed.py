"""Jobs of the committed results, as they are and as they might have been."""

from __future__ import annotations

import dataclasses
import functools

from ppbench import store
from ppbench.records import JobRecord
from tests.helpers.paths import RESULTS


@functools.cache
def measured(scheme: str, variant: str = "") -> JobRecord:
    """The first such job of the README's table, on MNIST."""
    return next(job for job in quickstart() if (job.scheme, job.variant) == (scheme, variant))


@functools.cache
def quickstart() -> tuple[JobRecord, ...]:
    """All jobs of the README's table."""
    return tuple(store.read_all(RESULTS / "quickstart"))


def altered(job: JobRecord, task: tuple[str, str] = ("mnist", "lenet"), **values: float) -> JobRecord:
    """As if it had been measured on this data set and model, with these values."""
    dataset, model = task
    config = {**job.config, "dataset": {"name": dataset}, "model": {"name": model}}
    records = [dataclasses.replace(r, value=values.get(r.metric, r.value)) for r in job.records]
    return job.model_copy(update={"dataset": dataset, "model": model, "config": config, "records": records})


def without(job: JobRecord, *metrics: str) -> JobRecord:
    """As a version measured it that did not record these."""
    return job.model_copy(update={"records": [record for record in job.records if record.metric not in metrics]})
