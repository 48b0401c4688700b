"""Measured values as tidy rows, one folder a job, written so that a reader sees a whole job or none."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import math
import operator
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pydantic

from ppbench.bundle import write_atomically
from ppbench.errors import PpbenchError

SCHEMA_VERSION = 1
JOB_FILE = "job.json"
RECORDS_FILE = "records.csv"

UNREADABLE = (OSError, ValueError, RecursionError, csv.Error, PpbenchError)
"""What reading a file may raise that somebody else wrote, or nobody to its end."""

Status = Literal["ok", "failed", "unavailable"]
Stage = Literal["model", "prepare", "setup", "train", "offline", "online", "job"]


def check_finite(metric: str, value: float, stage: str, party: str | None = None) -> None:
    """Refuse what is no measurement: NaN and the infinities. Raises PpbenchError, naming metric, party and stage."""
    if not math.isfinite(value):
        whose = f" of {party}" if party else ""
        raise PpbenchError(f"{metric}{whose} in {stage} is {value}: only a finite value is a record")


def unit_of(metric: str) -> str:
    """The unit that is in a name: `cpu_s` is in s, `payload_bytes_sent` in B, a count in 1."""
    return "s" if metric.endswith("_s") else "B" if "bytes" in metric.split("_") else "1"


# Hundreds of thousands of them are in memory at once: slots take an eighth of a model's room.
@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=pydantic.ConfigDict(extra="forbid"))
class Record:
    """One measured value. A field that does not apply is None; a value that was not measured has no record.

    Raises PpbenchError for a value that is not finite.
    """

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
    training_round: int | None = None
    """Which training round, from 0, of a value that is of this round alone; the whole stage's has none."""
    source: str | None = None
    """Who counted, where there is a choice: `tcp_info`, `engine_tcp_info` for an engine's own sockets, `veth`,
    `channel`, or the `engine` itself; `peer_` before it where the party had dropped out and its peer told it; for a
    promise of privacy, by which accountant.
    """

    def __post_init__(self) -> None:
        """Refuse what is not finite."""
        check_finite(self.metric, self.value, self.stage, self.party)


RECORD_COLUMNS = tuple(field.name for field in dataclasses.fields(Record))


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
    confinement: str | None = None
    """What keeps a party there to its channels; None: devices of versions that did not say."""


class PluginIdentity(pydantic.BaseModel):
    """Whose a plugin is, and what it does."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    distribution: str | None
    """Which declares it; None if none does."""
    version: str | None
    """Of that distribution."""
    code: str
    """Digest of its module and of what that imports, as `ppbench.code` finds it."""


class Provenance(pydantic.BaseModel):
    """Where and with what a job was measured."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    started_at: pydantic.AwareDatetime
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
    confinement: str | None = None
    """What kept the parties on this machine to their channels; None: files of versions that did not say."""
    machines: dict[str, Machine] = {}
    """Party -> its machine, for those that did not live on the one above."""
    plugins: dict[str, PluginIdentity] = {}
    """Kind of plugin -> its identity; none in a file of an older version, or for a job that could not run."""
    harness_code: str | None = None
    """Digest of what of ppbench decides what is measured; None where `plugins` has none."""


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
    seed: int = pydantic.Field(ge=-(2**63), lt=2**63)
    config: dict[str, Any]
    status: Status
    reason: str
    """Empty if the status is ok; else one line."""
    dropouts: list[str] = []
    """One line for each participant that dropped out, in which stage and how; process by process."""
    provenance: Provenance
    records: list[Record]

    @pydantic.field_validator("config")
    @classmethod
    def _has_its_sections(cls, config: dict[str, Any]) -> dict[str, Any]:
        """Refuse a configuration that no job has: tables and pictures rely on its counts."""
        for section in ("scheme", "task", "measure"):
            if not isinstance(config.get(section), Mapping):
                raise ValueError(f"it has no section '{section}'")
        for section, option in _COUNTS:
            count = config[section].get(option)
            if not isinstance(count, int) or not 1 <= count < 2**63:
                raise ValueError(f"{section}.{option} is {count!r}, which is no count")
        for option in _OPTIONAL_COUNTS:
            count = config["task"].get(option)
            if count is not None and not (isinstance(count, int) and 1 <= count < 2**63):
                raise ValueError(f"task.{option} is {count!r}, which is no count")
        return config

    @pydantic.field_validator("id", "scheme")
    @classmethod
    def _names_no_other_folder(cls, name: str) -> str:
        """Refuse what would lead out of the results folder: the two name the job's own."""
        if "/" in name or "\0" in name:
            raise ValueError(f"{name!r} is no name of a job's folder")
        return name

    @property
    def folder(self) -> str:
        """Name of the job's folder."""
        return folder_name(self.scheme, self.id)


_COUNTS = (
    ("task", "n_participants"),
    ("task", "batch_size"),
    ("measure", "processes"),
    ("measure", "repetitions"),
)
"""Sections and options of a configuration."""
_OPTIONAL_COUNTS = ("n_samples", "n_train_samples")
"""Options of the section `task`; None stands for all."""


def folder_name(scheme: str, job_id: str) -> str:
    """What the folder of a job is called inside its results folder."""
    return f"{scheme}-{job_id}"


def make_folder(results_dir: Path, name: str) -> Path:
    """A folder inside a results folder, there and open to be written. Raises PpbenchError if it is not."""
    folder = results_dir / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PpbenchError(f"{folder} cannot be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PpbenchError(f"{folder} cannot be written to")
    return folder


def write(results_dir: Path, job: JobRecord) -> Path:
    """Write a job's folder; the job file comes last, and a folder without it is not read.

    The job file says how many records there are, and their digest. Raises PpbenchError if a file cannot be written.
    """
    folder = make_folder(results_dir, job.folder)
    document, table = taken_apart(job)
    write_file(folder / RECORDS_FILE, table)
    write_file(folder / JOB_FILE, (json.dumps(document, indent=1) + "\n").encode())
    return folder


def taken_apart(job: JobRecord) -> tuple[dict[str, Any], bytes]:
    """All but its records, as JSON holds it, with their number and digest; and the records as CSV."""
    table = csv_lines([RECORD_COLUMNS, *map(cells, job.records)]).encode()
    document = {
        **job.model_dump(mode="json", exclude={"records"}),
        "n_records": len(job.records),
        "records_sha256": hashlib.sha256(table).hexdigest(),
    }
    return document, table


def checked_document(document: Any) -> dict[str, Any]:
    """What is to be a job's, without its records. Raises ValueError if it is no job's, or another version's."""
    if not isinstance(document, dict):
        raise ValueError("it holds no job")
    if document.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"schema_version {document.get('schema_version')}; this version reads {SCHEMA_VERSION}")
    return document


def put_together(document: Mapping[str, Any], table: bytes) -> JobRecord:
    """What `taken_apart` took apart. Raises ValueError if they are not right, or not of one job."""
    told = {key: value for key, value in document.items() if key not in ("n_records", "records_sha256")}
    rows = _rows(table.decode())
    if (n_records := document.get("n_records", len(rows))) != len(rows):
        raise ValueError(f"it holds {len(rows)} records; {JOB_FILE} says {n_records}")
    digest = hashlib.sha256(table).hexdigest()
    if document.get("records_sha256", digest) != digest:
        raise ValueError(f"it is not what {JOB_FILE} says: the digests differ")
    return JobRecord.model_validate({**told, "records": rows})


def write_file(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write it whole or not at all. Raises PpbenchError, in the system's words, if it cannot be written."""
    try:
        write_atomically(path, content)
    except OSError as error:
        raise PpbenchError(f"{path} cannot be written: {error.strerror}") from error


def read(folder: Path) -> JobRecord:
    """Read a job's folder. Raises PpbenchError, naming file and fault, if it cannot be read.

    Files of older versions do not say how many records there are: of these, a cut one is not seen at a line's end.
    """
    path = folder / JOB_FILE
    try:
        document = checked_document(json.loads(path.read_text(encoding="utf-8")))
        path = folder / RECORDS_FILE
        return put_together(document, path.read_bytes())
    except UNREADABLE as error:
        raise PpbenchError(f"{_culprit(path, error)} cannot be read: {fault(error)}") from error


_JOB_COLUMNS = ("scheme", "variant", "dataset", "model", "task", "seed")
TIDY_COLUMNS = ("job", *_JOB_COLUMNS, *RECORD_COLUMNS)
_WHOLE_COLUMNS = ("seed", "process", "repetition", "batch", "training_round")


def tidy(jobs: Iterable[JobRecord]) -> pd.DataFrame:
    """One row per measured value, with `TIDY_COLUMNS`: the job it belongs to comes first."""
    rows = [(*_asked(job), *_values(record)) for job in jobs for record in job.records]
    table = pd.DataFrame(rows, columns=list(TIDY_COLUMNS))
    return table.astype({"value": "float64", **dict.fromkeys(_WHOLE_COLUMNS, "Int64")})


def tidy_csv(jobs: Iterable[JobRecord]) -> Iterator[bytes]:
    """The same as CSV, job by job, as there may be more than fits into memory twice."""
    yield csv_lines([TIDY_COLUMNS]).encode()
    for job in jobs:
        asked = _asked(job)
        yield csv_lines((*asked, *cells(record)) for record in job.records).encode()


def csv_lines(rows: Iterable[tuple[Any, ...]]) -> str:
    """None is an empty cell; a float has as many digits as it needs to be read back as it was."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


_values = operator.attrgetter(*RECORD_COLUMNS)
_VALUE = RECORD_COLUMNS.index("value")
_LARGEST_COUNT = 2.0**53
"""Up to here a float holds every integer."""


def _asked(job: JobRecord) -> tuple[Any, ...]:
    return job.id, *(getattr(job, column) for column in _JOB_COLUMNS)


def cells(record: Record) -> tuple[Any, ...]:
    """A record as a line of CSV; a count is written as the integer that it is."""
    values = _values(record)
    if not record.value.is_integer() or abs(record.value) > _LARGEST_COUNT:
        return values
    return *values[:_VALUE], int(record.value), *values[_VALUE + 1 :]


def _rows(text: str) -> list[dict[str, str]]:
    """The records as CSV has them, without empty cells. Raises ValueError for a file that is not whole."""
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns = next(lines, None)
    if columns is None:
        raise ValueError("it is empty")
    seen: dict[str, str] = {}
    rows = []
    for cells in lines:
        if len(cells) != len(columns):
            raise ValueError(f"line {lines.line_num} has {len(cells)} of {len(columns)} cells")
        # Most texts are in many records: each is kept once.
        rows.append({column: seen.setdefault(cell, cell) for column, cell in zip(columns, cells, strict=True) if cell})
    return rows


def _culprit(path: Path, error: Exception) -> Path:
    """The file that an error is about: what is wrong with the job itself shows only when both files have been read."""
    if isinstance(error, pydantic.ValidationError) and error.errors()[0]["loc"][:1] != ("records",):
        return path.with_name(JOB_FILE)
    return path


def fault(error: Exception) -> str:
    """What is wrong with a file, in one line."""
    if isinstance(error, pydantic.ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
