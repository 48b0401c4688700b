"""The jobs of a results folder: each in a folder of its own, or packed into two files for all."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import json
import logging
import os
from pathlib import Path

from ppbench import records
from ppbench.errors import PpbenchError
from ppbench.records import JOB_FILE, RECORD_COLUMNS, RECORDS_FILE, UNREADABLE, JobRecord, cells, csv_lines, fault

PACKED_JOBS = "packed_jobs.jsonl"
"""A job a line: what its job file says."""
PACKED_RECORDS = "packed_records.csv"
"""The records of all jobs, each with its job's id before it."""
_JOB = "job"

log = logging.getLogger(__name__)


def read_all(results_dir: Path) -> list[JobRecord]:
    """The jobs of a results folder that can be read, in the order they were started; a warning names each other one.

    A copy of a job is another one; of a job that is packed and has a folder too, the folder counts. Raises PpbenchError
    if there is none.
    """
    jobs, _, faults = _jobs(results_dir)
    if not jobs and not faults:
        raise PpbenchError(f"{results_dir} holds no results: there is no */{JOB_FILE} in it")
    if not jobs:
        others = f" (and {len(faults) - 1} more like it)" if len(faults) > 1 else ""
        raise PpbenchError(f"{results_dir} holds no results that can be read: {faults[0]}{others}")
    for told in faults:
        log.warning("%s", told)
    return jobs


def find(results_dir: Path, scheme: str, job_id: str) -> JobRecord | None:
    """One job, in its folder or packed; None if it is not there, or cannot be read."""
    try:
        job = records.read(results_dir / records.folder_name(scheme, job_id))
    except PpbenchError:
        return _packed_now(results_dir).get(job_id)
    return job if job.id == job_id else None


def pack(results_dir: Path) -> int:
    """Put all jobs into the two files and remove their own; returns how many there are.

    What a job's folder holds beside, such as what was published, stays. Raises PpbenchError, with nothing removed, if
    a job cannot be read or a file cannot be written.
    """
    jobs, folders, faults = _jobs(results_dir)
    if faults:
        raise PpbenchError(f"{results_dir} is not packed: {faults[0]}")
    if not jobs:
        raise PpbenchError(f"{results_dir} holds no results: there is no */{JOB_FILE} in it")
    lines = [json.dumps(records.taken_apart(job)[0]) + "\n" for job in jobs]
    table = csv_lines([(_JOB, *RECORD_COLUMNS), *((job.id, *cells(record)) for job in jobs for record in job.records)])
    records.write_file(results_dir / PACKED_RECORDS, table.encode())
    records.write_file(results_dir / PACKED_JOBS, "".join(lines).encode())
    packed, faults = _packed(results_dir)
    if faults or packed != jobs:
        raise PpbenchError(f"{results_dir / PACKED_JOBS} does not read as what was packed; nothing is removed")
    for folder in folders:
        for name in (JOB_FILE, RECORDS_FILE):
            (folder / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # others are still there
            folder.rmdir()
    return len(jobs)


def _jobs(results_dir: Path) -> tuple[list[JobRecord], list[Path], list[str]]:
    """All that can be read, the folders of those that are not packed, and a line for each other one."""
    try:
        folders = sorted(path for path in results_dir.iterdir() if path.is_dir() and _has_job_file(path))
    except OSError as error:
        raise PpbenchError(f"{results_dir} cannot be read: {error.strerror}") from error
    packed, faults = _packed(results_dir)
    by_id: dict[str, tuple[Path, JobRecord]] = {}
    for folder in folders:
        try:
            job = records.read(folder)
        except PpbenchError as error:
            faults.append(str(error))
            continue
        other = by_id.get(job.id)
        if other is None:
            by_id[job.id] = folder, job
            continue
        # Of two that are the same job, the one in its own folder is no copy.
        copy = folder if folder.name != job.folder else other[0]
        by_id[job.id] = other if copy is folder else (folder, job)
        faults.append(f"{copy / JOB_FILE} is left out: {by_id[job.id][0].name} is the same job")
    jobs = {job.id: job for job in packed} | {job_id: job for job_id, (_, job) in by_id.items()}
    in_order = sorted(jobs.values(), key=lambda job: job.provenance.started_at)
    return in_order, [folder for folder, _ in by_id.values()], faults


def _packed(results_dir: Path) -> tuple[list[JobRecord], list[str]]:
    path = results_dir / PACKED_JOBS
    if not path.exists():
        return [], []
    jobs, faults = [], []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        path = results_dir / PACKED_RECORDS
        columns, tables = _tables(path.read_text(encoding="utf-8"))
    except UNREADABLE as error:
        return [], [f"{path} cannot be read: {fault(error)}"]
    for number, line in enumerate(lines, 1):
        try:
            document = records.checked_document(json.loads(line))
            table = csv_lines([columns, *tables.get(str(document.get("id")), ())])
            jobs.append(records.put_together(document, table.encode()))
        except UNREADABLE as error:
            faults.append(f"{results_dir / PACKED_JOBS} line {number} cannot be read: {fault(error)}")
    return jobs, faults


def _tables(text: str) -> tuple[tuple[str, ...], dict[str, list[tuple[str, ...]]]]:
    """The columns of records, and job -> its lines. Raises ValueError for a file that is not whole.

    Older versions have fewer columns; the digests in their job files are of these.
    """
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    first, *columns = next(lines, [""])
    if first != _JOB or not columns or not set(columns) <= set(RECORD_COLUMNS):
        raise ValueError("its first line does not name the columns")
    tables: dict[str, list[tuple[str, ...]]] = {}
    for job, *line in lines:
        tables.setdefault(job, []).append(tuple(line))
    return tuple(columns), tables


def _packed_now(results_dir: Path) -> dict[str, JobRecord]:
    try:
        found = (results_dir / PACKED_JOBS).stat()
    except OSError:
        return {}
    return _packed_as_of(results_dir, found.st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _packed_as_of(results_dir: Path, modified_ns: int) -> dict[str, JobRecord]:
    """A sweep asks for one after the other."""
    return {job.id: job for job in _packed(results_dir)[0]}


def _has_job_file(folder: Path) -> bool:
    """Whether there is something of that name, even if it cannot be read."""
    try:
        os.lstat(folder / JOB_FILE)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True
