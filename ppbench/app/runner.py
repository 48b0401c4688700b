"""Jobs of one results folder: run, resumed, reported."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ppbench import store
from ppbench.app.display import Display
from ppbench.measure import experiment
from ppbench.measure.job import Job
from ppbench.measure.prepare import prepare_all
from ppbench.records import JobRecord


def prepare_jobs(runs: Iterable[tuple[Job, Path, bool]], display: Display) -> None:
    """Prepare what `run_job` will measure: (job, results folder, resume) of each."""
    waiting = {job.id: job for job, folder, resume in runs if not (resume and measured_before(job, folder))}
    prepare_all(list(waiting.values()), display)


def run_job(job: Job, results_dir: Path, resume: bool, display: Display) -> JobRecord:
    """Measure a job, unless `resume` finds it measured well already.

    Raises PpbenchError if the results folder is unusable.
    """
    if resume and (done := measured_before(job, results_dir)):
        display.finished(f"{job.title}: measured before, left as it is")
        return done
    record = experiment.run(job, results_dir, display)
    display.finished(f"{job.title}: {_outcome(record)}")
    for line in record.dropouts:
        display.note(f"  {line}")
    return record


def measured_before(job: Job, results_dir: Path) -> JobRecord | None:
    """The record of the same configuration in the same folder, if it was measured well and can still be read."""
    done = store.find(results_dir, job.scheme.name, job.id)
    return done if done and done.status == "ok" else None


def _outcome(record: JobRecord) -> str:
    if record.status != "ok":
        return f"{record.status}: {record.reason}"
    accuracies = [r.value for r in record.records if r.stage == "online" and r.metric == "accuracy"]
    return f"accuracy {sorted(accuracies)[len(accuracies) // 2]:.4f}" if accuracies else "ok"
