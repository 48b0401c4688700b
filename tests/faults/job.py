"""A job on a scheme that fails as it is told to."""

from __future__ import annotations

from ppbench.data.digits import Digits
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.models.mlp import Mlp
from tests.faults.scheme import Faulty

DEADLINE_S = 4.0


def faulty_job(scheme: Faulty, deadline_s: float = 60.0) -> Job:
    return Job(
        scheme=scheme,
        dataset=Digits(),
        model=Mlp(),
        task=TaskOptions(n_samples=20, batch_size=8),
        measure=MeasureOptions(repetitions=1, deadline_s=deadline_s),
    )
