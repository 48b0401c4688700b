"""Jobs of one results folder: run, resumed, reported."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from ppbench import store
from ppbench.app.config import Resume
from ppbench.app.display import Display
from ppbench.errors import UnavailableError, message, one_line
from ppbench.measure import experiment
from ppbench.measure.identity import changes
from ppbench.measure.job import Job
from ppbench.measure.prepare import prepare_all
from ppbench.records import JobRecord


@dataclasses.dataclass(frozen=True)
class MeasuredBefore:
    """A job that was measured well, and whether that still counts."""

    record: JobRecord
    changes: Sequence[str]
    """Why it is measured again; empty if it is left as it is."""
    remark: str = ""
    """Why nothing was compared."""

    @property
    def is_left(self) -> bool:
        """Whether it is left as it is."""
        return not self.changes


def prepare_jobs(runs: Iterable[tuple[Job, Path, Resume]], display: Display) -> None:
    """Prepare what `run_job` will measure: (job, results folder, resume) of each."""
    befores = ((job, measured_before(job, folder, resume)) for job, folder, resume in runs)
    waiting = {job.id: job for job, before in befores if not (before and before.is_left)}
    prepare_all(list(waiting.values()), display)


def run_job(job: Job, results_dir: Path, resume: Resume, display: Display) -> JobRecord:
    """Measure a job, unless `resume` finds it measured well already.

    Raises PpbenchError if the results folder is unusable.
    """
    if before := measured_before(job, results_dir, resume):
        if before.is_left:
            display.finished(f"{job.title}: measured before, left as it is{before.remark}")
            return before.record
        display.note(f"{job.title}: measured again: {', '.join(before.changes)}")
    record = experiment.run(job, results_dir, display)
    display.finished(f"{job.title}: {_outcome(record)}")
    for line in record.dropouts:
        display.note(f"  {line}")
    return record


def measured_before(job: Job, results_dir: Path, resume: Resume) -> MeasuredBefore | None:
    """The same configuration in the same folder, if it was measured well, can still be read, and is not unwanted."""
    if not resume:
        return None
    done = store.find(results_dir, job.scheme.name, job.id)
    if done is None or done.status != "ok":
        return None
    if resume == "any":
        return MeasuredBefore(done, ())
    try:
        job.check_available()
    except UnavailableError as error:  # to measure it again would replace a result by none
        return MeasuredBefore(done, (), f", as it cannot run here: {one_line(message(error))}")
    return MeasuredBefore(done, changes(job, done.provenance))


def _outcome(record: JobRecord) -> str:
    if record.status != "ok":
        return f"{record.status}: {record.reason}"
    accuracies = [r.value for r in record.records if r.stage == "online" and r.metric == "accuracy"]
    return f"accuracy {sorted(accuracies)[len(accuracies) // 2]:.4f}" if accuracies else "ok"
