"""Jobs on the small digits, measured, and what was measured of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ppbench import bundle
from ppbench.app import config
from ppbench.app.display import Quiet
from ppbench.app.report import write_report
from ppbench.app.runner import run_job
from ppbench.bundle import Array
from ppbench.data.dataset import DatasetSource
from ppbench.data.digits import Digits
from ppbench.measure import experiment
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.models.mlp import Mlp
from ppbench.models.model import Model
from ppbench.records import JobRecord
from ppbench.report.summary import summary
from ppbench.scheme import Scheme


def attempt(
    scheme: Scheme,
    folder: Path,
    dataset: DatasetSource | None = None,
    model: Model | None = None,
    wire: str = "tcp",
    view_batches: int = 0,
    warmup_batches: int = 0,
    repetitions: int = 1,
    processes: int = 1,
    instructions: str = "none",
    **task: Any,
) -> JobRecord:
    """What became of a job, which may have failed."""
    options = MeasureOptions(
        warmup_batches=warmup_batches,
        repetitions=repetitions,
        processes=processes,
        view_batches=view_batches,
        deadline_s=100 if instructions != "callgrind" else 250,
        instructions=instructions,
    )
    job = Job(scheme, dataset or Digits(), model or Mlp(), TaskOptions(**task), options, wire=wire)
    return experiment.run(job, folder)


def measure(scheme: Scheme, folder: Path, view_batches: int = 0, **options: Any) -> JobRecord:
    """One that has to come to a good end."""
    record = attempt(scheme, folder, view_batches=view_batches, **options)
    assert record.status == "ok", record.reason
    return record


def report_of(folder: Path, *lines: Sequence[str]) -> Path:
    """The folder, with the jobs that some lines of overrides ask for, and with a report that is drawn once for all."""
    config.register()
    for line in lines:
        for composed in config.compose_all(line).jobs:
            run_job(config.to_job(composed), folder, resume=False, display=Quiet())
    write_report(folder)
    return folder


def row(record: JobRecord) -> pd.Series:
    """Its row of the summary."""
    table: pd.Series = summary([record]).iloc[0]
    return table


def value(record: JobRecord, stage: str, metric: str) -> float:
    """What there is one of."""
    (found,) = [r.value for r in record.records if (r.stage, r.metric) == (stage, metric)]
    return found


def arrays_seen(
    record: JobRecord, folder: Path, name: str = "samples", party: str = "coordinator"
) -> list[list[Array]]:
    """What a party received by this name, message by message, where views were kept."""
    entries = bundle.load(folder / record.folder / "views" / f"{party}.npz")
    return [entry["arrays"] for entry in entries if entry["name"] == name]
