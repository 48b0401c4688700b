"""A results folder reads the same when its jobs are packed, and nothing is lost by packing."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from ppbench import cli, records, store
from ppbench.errors import PpbenchError
from ppbench.records import JOB_FILE, JobRecord
from ppbench.store import PACKED_JOBS, PACKED_RECORDS
from tests.helpers.paths import FIXTURES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURES / "results_v1", tmp_path / "results"))


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_packed_jobs_are_those_that_were_packed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = store.read_all(folder)
    assert cli.main(["pack", str(folder)]) == 0
    assert f"packed {len(before)} jobs" in capsys.readouterr().out
    assert not list(folder.glob(f"*/{JOB_FILE}"))
    assert store.read_all(folder) == before
    again = (folder / PACKED_JOBS).read_bytes(), (folder / PACKED_RECORDS).read_bytes()
    assert store.pack(folder) == len(before)
    assert again == ((folder / PACKED_JOBS).read_bytes(), (folder / PACKED_RECORDS).read_bytes())


def forget_column(folder: Path, name: str) -> None:
    """Let the pack be one of a version whose records did not have this column yet."""
    table = pd.read_csv(folder / PACKED_RECORDS, dtype=str, keep_default_na=False).drop(columns=name)
    documents = [json.loads(line) for line in (folder / PACKED_JOBS).read_text().splitlines()]
    for document in documents:
        own = table[table.job == document["id"]].drop(columns="job")
        document["records_sha256"] = hashlib.sha256(own.to_csv(index=False).encode()).hexdigest()
    (folder / PACKED_JOBS).write_text("".join(json.dumps(document) + "\n" for document in documents))
    (folder / PACKED_RECORDS).write_text(table.to_csv(index=False))


def test_a_pack_of_a_version_with_fewer_columns_is_read_and_packed_anew(folder: Path) -> None:
    jobs = store.read_all(folder)
    store.pack(folder)
    forget_column(folder, "training_round")
    assert "training_round" not in (folder / PACKED_RECORDS).read_text()
    assert store.read_all(folder) == jobs
    assert store.pack(folder) == len(jobs)
    assert store.read_all(folder) == jobs
    assert "training_round" in (folder / PACKED_RECORDS).read_text()


@pytest.mark.parametrize(("old", "new"), [("metric,", ""), ("metric,", "metrics,"), ("job,", "jobs,")])
def test_a_pack_whose_columns_are_damaged_is_a_line(
    folder: Path, caplog: pytest.LogCaptureFixture, old: str, new: str
) -> None:
    store.pack(folder)
    text = (folder / PACKED_RECORDS).read_text()
    (folder / PACKED_RECORDS).write_text(text.replace(old, new, 1))
    with pytest.raises(PpbenchError, match="cannot be read"):
        store.read_all(folder)


def test_what_a_job_has_beside_its_records_stays(folder: Path) -> None:
    job = store.read_all(folder)[0]
    beside = folder / job.folder / "published" / "coordinator.npz"
    beside.parent.mkdir()
    beside.write_bytes(b"results")
    store.pack(folder)
    assert beside.read_bytes() == b"results"
    assert job in store.read_all(folder)


def test_a_job_that_is_measured_again_takes_the_place_of_the_packed_one(folder: Path) -> None:
    store.pack(folder)
    old, *others = store.read_all(folder)
    new = old.model_copy(update={"reason": "", "records": old.records[:1]})
    records.write(folder, new)
    assert store.find(folder, new.scheme, new.id) == new
    assert store.read_all(folder) == [new, *others]
    assert store.pack(folder) == 1 + len(others)
    assert store.read_all(folder) == [new, *others]


def test_a_packed_job_is_found_by_its_name(folder: Path) -> None:
    jobs = store.read_all(folder)
    store.pack(folder)
    assert [store.find(folder, job.scheme, job.id) for job in jobs] == jobs
    assert store.find(folder, jobs[0].scheme, "another") is None


def test_what_cannot_be_read_is_not_packed_and_nothing_is_lost(folder: Path) -> None:
    job = store.read_all(folder)[0]
    (folder / job.folder / JOB_FILE).write_text("{")
    before = files_of(folder)
    with pytest.raises(PpbenchError, match=r"is not packed: .*job\.json cannot be read"):
        store.pack(folder)
    assert files_of(folder) == before


def test_a_job_in_a_renamed_folder_is_packed_and_its_folder_goes(folder: Path) -> None:
    job = store.read_all(folder)[0]
    (folder / job.folder).rename(folder / "renamed")
    store.pack(folder)
    assert job in store.read_all(folder)
    assert not (folder / "renamed" / JOB_FILE).exists()


@pytest.mark.parametrize("field", ["scheme", "id"])
def test_a_job_that_names_another_folder_is_no_job(folder: Path, tmp_path: Path, field: str) -> None:
    job = store.read_all(folder)[0]
    other = Path(shutil.copytree(folder / job.folder, tmp_path / "other" / job.folder))
    path = folder / job.folder / JOB_FILE
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, field: f"../other/{document[field]}"}))
    with pytest.raises(PpbenchError, match="is no name of a job's folder"):
        store.pack(folder)
    assert (other / JOB_FILE).exists()


def test_a_count_that_no_table_holds_makes_a_job_unreadable_and_no_folder(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = store.read_all(folder)[0]
    path = folder / job.folder / JOB_FILE
    document = json.loads(path.read_text())
    document["config"]["task"]["n_samples"] = 10**23
    path.write_text(json.dumps(document))
    assert cli.main(["report", str(folder)]) == 0
    assert "n_samples" in caplog.text


def damage_line(folder: Path, jobs: list[JobRecord]) -> str:
    lines = (folder / PACKED_JOBS).read_text().splitlines(keepends=True)
    (folder / PACKED_JOBS).write_text("".join([lines[0][:40] + "\n", *lines[1:]]))
    return f"{PACKED_JOBS} line 1 cannot be read"


def damage_records(folder: Path, jobs: list[JobRecord]) -> str:
    text = (folder / PACKED_RECORDS).read_text()
    (folder / PACKED_RECORDS).write_text("".join(text.splitlines(keepends=True)[:-1]))
    return "cannot be read: it holds"


@pytest.mark.parametrize("damage", [damage_line, damage_records])
def test_a_damaged_pack_is_a_line_and_the_other_jobs_are_read(
    folder: Path, caplog: pytest.LogCaptureFixture, damage: object
) -> None:
    jobs = store.read_all(folder)
    store.pack(folder)
    assert callable(damage)
    told = damage(folder, jobs)
    assert len(store.read_all(folder)) == len(jobs) - 1
    assert told in caplog.text
