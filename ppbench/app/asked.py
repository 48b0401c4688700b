"""The jobs that a command asks for, and what became of them, as the disk tells it: any process may have run them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from ppbench import records, store
from ppbench.app.config import Resume
from ppbench.app.runner import measured_before
from ppbench.measure.job import Job
from ppbench.records import JobRecord


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of the jobs asked for."""

    ended: Mapping[Path, Sequence[JobRecord]]
    """Results folder -> the jobs in it that ended, well or not, in the order in which they were asked for."""
    left_out: Sequence[str]
    """The titles of those that did not come to an end."""

    def exit_status(self) -> int:
        """0 if every job ended, none failed, and one was measured at least; else 1."""
        statuses = [record.status for records in self.ended.values() for record in records]
        return 0 if not self.left_out and "failed" not in statuses and "ok" in statuses else 1


class AskedJobs:
    """Made before the first one runs, so that it tells a record of this command from one that lay there."""

    def __init__(self, jobs: Sequence[tuple[Job, Path, Resume]]) -> None:
        """`jobs`: each with its results folder, and whether it counts if it was measured well before."""
        self._jobs = {(folder, job.id): (job, resume) for job, folder, resume in jobs}
        self._before = {at: _written(self._file(*at)) for at in self._jobs}

    @property
    def results_dirs(self) -> list[Path]:
        """Every folder that a job of the command goes to."""
        return list(dict.fromkeys(folder for folder, _ in self._jobs))

    def outcome(self) -> Outcome:
        """What is on the disk now."""
        ended: dict[Path, list[JobRecord]] = {folder: [] for folder in self.results_dirs}
        left_out = []
        for (folder, _), (job, resume) in self._jobs.items():
            record = self._record(folder, job, resume)
            if record is None:
                left_out.append(job.title)
            else:
                ended[folder].append(record)
        return Outcome(ended, left_out)

    def _record(self, results_dir: Path, job: Job, resume: Resume) -> JobRecord | None:
        if _written(self._file(results_dir, job.id)) != self._before[results_dir, job.id]:
            return store.find(results_dir, job.scheme.name, job.id)
        before = measured_before(job, results_dir, resume)
        return before.record if before and before.is_left else None

    def _file(self, results_dir: Path, job_id: str) -> Path:
        scheme = self._jobs[results_dir, job_id][0].scheme.name
        return results_dir / records.folder_name(scheme, job_id) / records.JOB_FILE


def _written(file: Path) -> tuple[int, int] | None:
    """What changes when a file is replaced, by the file system's own clock."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
