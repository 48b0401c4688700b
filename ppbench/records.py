"""Measured values as tidy rows, one folder a job, written so that a reader sees a whole job or none."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pydantic

from ppbench.bundle import write_atomically
from ppbench.errors import PpbenchError

SCHEMA_VERSION = 1
JOB_FILE = "job.json"
RECORDS_FILE = "records.csv"

Status = Literal["ok", "failed", "unavailable"]
Stage = Literal["model", "prepare", "setup", "train", "offline", "online", "job"]


class Record(pydantic.BaseModel):
    """One measured value. A field that does not apply is None; a value that was not measured has no record."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    stage: Stage
    metric: str
    value: float
    unit: str
    party: str | None = None
    peer: str | None = None
    """The other end, for traffic."""
    process: int | None = None
    """Which fresh set of processes, from 0."""
    repetition: int | None = None
    """Which pass over the samples in that set, from 0."""
    batch: int | None = None
    source: str | None = None
    """Who counted, where there is a choice: `tcp_info`, `engine_tcp_info` for an engine's own sockets, `veth`,
    `channel`, or the `engine` itself; for a promise of privacy, by which accountant.
    """


class Machine(pydantic.BaseModel):
    """A device that a party lived on, as it describes itself."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    cpu: str
    n_cpus: int
    memory_bytes: int | None
    platform: str
    python_version: str
    numpy_version: str
    ppbench_version: str


class Provenance(pydantic.BaseModel):
    """Where and with what a job was measured."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    started_at: datetime.datetime
    command: list[str]
    ppbench_version: str
    git_commit: str | None
    """Of the checkout that ppbench runs from, with "+" appended if it was changed; None for an installed wheel."""
    python_version: str
    package_versions: dict[str, str]
    platform: str
    cpu: str
    n_cpus: int
    memory_bytes: int | None
    config_hash: str
    data_sha256: str | None
    data_route: str | None
    machines: dict[str, Machine] = {}
    """Party -> its machine, for those that did not live on the one above."""


class JobRecord(pydantic.BaseModel):
    """A job: what was asked, how it ended, and all that was measured."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    id: str
    scheme: str
    variant: str
    dataset: str
    model: str
    task: Literal["inference", "training"] | None
    seed: int
    config: dict[str, Any]
    status: Status
    reason: str
    """Empty if the status is ok; else one line."""
    provenance: Provenance
    records: list[Record]

    @property
    def folder(self) -> str:
        """Name of the job's folder."""
        return folder_name(self.scheme, self.id)


def folder_name(scheme: str, job_id: str) -> str:
    """What the folder of a job is called inside its results folder."""
    return f"{scheme}-{job_id}"


def write(results_dir: Path, job: JobRecord) -> Path:
    """Write a job's folder; the job file comes last, and a folder without it is not read."""
    folder = results_dir / job.folder
    rows = pd.DataFrame([record.model_dump() for record in job.records], columns=list(Record.model_fields))
    write_atomically(folder / RECORDS_FILE, rows.to_csv(index=False).encode())
    document = job.model_dump(mode="json", exclude={"records"})
    write_atomically(folder / JOB_FILE, (json.dumps(document, indent=1) + "\n").encode())
    return folder


def read(folder: Path) -> JobRecord:
    """Read a job's folder. Raises PpbenchError, naming file and fault, if it cannot be read."""
    path = folder / JOB_FILE
    try:
        document = json.loads(path.read_text())
        if document.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(f"schema_version {document.get('schema_version')}; this version reads {SCHEMA_VERSION}")
        path = folder / RECORDS_FILE
        rows = pd.read_csv(path, keep_default_na=False, dtype=str)
        fields = [{key: value for key, value in row.items() if value != ""} for row in rows.to_dict("records")]
        return JobRecord(**document, records=[Record(**row) for row in fields])  # type: ignore[arg-type]
    except (OSError, ValueError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PpbenchError(f"{path} cannot be read: {line}") from error


def read_all(results_dir: Path) -> list[JobRecord]:
    """All jobs of a results folder, in the order they were started. Raises PpbenchError if there is none."""
    folders = sorted(path.parent for path in results_dir.glob(f"*/{JOB_FILE}"))
    if not folders:
        raise PpbenchError(f"{results_dir} holds no results: there is no */{JOB_FILE} in it")
    return sorted((read(folder) for folder in folders), key=lambda job: job.provenance.started_at)


def tidy(jobs: Iterable[JobRecord]) -> pd.DataFrame:
    """One row per measured value, with the job it belongs to in the first columns."""
    parts = []
    for job in jobs:
        rows = pd.DataFrame([record.model_dump() for record in job.records], columns=list(Record.model_fields))
        for position, column in enumerate(("id", "scheme", "variant", "dataset", "model", "task", "seed")):
            rows.insert(position, "job" if column == "id" else column, getattr(job, column))
        parts.append(rows)
    return pd.concat(parts, ignore_index=True)
