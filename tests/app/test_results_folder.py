"""A results folder as `ppbench report` and `ppbench.load_summary` meet it: whole, cut, foreign, or hard to write to."""

from __future__ import annotations

import dataclasses
import json
import math
import resource
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

import ppbench
from ppbench import records, store
from ppbench.cli import main
from ppbench.data.digits import Digits
from ppbench.errors import PpbenchError
from ppbench.measure import experiment
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.models.mlp import Mlp
from ppbench.records import JOB_FILE, RECORDS_FILE, JobRecord, Record
from ppbench.report.one_page import PAGE_IN
from ppbench.report.summary import NUMBERS
from tests.faults.numbers import Astray
from tests.helpers.paths import FIXTURES

FIXTURE = FIXTURES / "results_v1"
TASK = ("dataset=digits", "model=mlp", "task.n_samples=20", "task.batch_size=10", "measure.repetitions=1")


def report(folder: Path, limit_bytes: int | None = None) -> subprocess.CompletedProcess[str]:
    """As a user calls it; with a limit, no file may become larger, as on a disk that is full."""

    def limited() -> None:
        if limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    command = [sys.executable, "-m", "ppbench.cli", "report", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, preexec_fn=limited)


@pytest.fixture
def job() -> JobRecord:
    """A job that was measured."""
    return next(job for job in store.read_all(FIXTURE) if job.status == "ok")


def cut(path: Path, n_bytes: int) -> None:
    path.write_bytes(path.read_bytes()[:-n_bytes])


def cut_last_line(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def make_folder_of(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_loop_of(path: Path) -> None:
    """No permission, as far as the superuser is concerned."""
    path.unlink()
    path.symlink_to(path.name)


def changed(**fields: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return change


def first_value_is(value: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        header, first, *rest = path.read_text().splitlines()
        cells = first.split(",")
        cells[header.split(",").index("value")] = value
        path.write_text("\n".join([header, ",".join(cells), *rest, ""]))

    return change


DAMAGE: Mapping[str, tuple[str, Callable[[Path], Any], str]] = {
    "foreign": (JOB_FILE, lambda path: path.write_text("{}"), "schema_version None"),
    "list": (JOB_FILE, lambda path: path.write_text("[1]"), "holds no job"),
    "deep": (JOB_FILE, lambda path: path.write_text("[" * 100_000), "recursion"),
    "empty": (JOB_FILE, lambda path: path.write_text(""), "Expecting value"),
    "byte order mark": (JOB_FILE, lambda path: path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes()), "BOM"),
    "not UTF-8": (JOB_FILE, lambda path: path.write_bytes(b"\xff" + path.read_bytes()), "can't decode"),
    "newer": (JOB_FILE, changed(schema_version=2), "schema_version 2; this version reads 1"),
    "no configuration": (JOB_FILE, changed(config={}), "config: "),
    "no counts": (JOB_FILE, changed(config={"scheme": {}, "task": {"n_participants": 0}, "measure": {}}), "config: "),
    "folder": (JOB_FILE, make_folder_of, "Is a directory"),
    "loop": (JOB_FILE, make_loop_of, "symbolic links"),
    "no records": (RECORDS_FILE, Path.unlink, "No such file"),
    "empty records": (RECORDS_FILE, lambda path: path.write_text(""), "empty"),
    "cut at a line's end": (RECORDS_FILE, cut_last_line, "says"),
    "cut within a line": (RECORDS_FILE, lambda path: cut(path, 4), "cells"),
    "cut within a number": (RECORDS_FILE, lambda path: cut(path, 1), "digests differ"),
    "not finite": (RECORDS_FILE, first_value_is("-inf"), "digests differ"),
    "another value": (RECORDS_FILE, first_value_is("1"), "digests differ"),
    "records not UTF-8": (RECORDS_FILE, lambda path: path.write_bytes(b"\xff" + path.read_bytes()), "can't decode"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_job_that_cannot_be_read_is_a_line_and_the_others_are_there(
    job: JobRecord, damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name, harm, fault = DAMAGE[damage]
    records.write(tmp_path, job)
    harm(records.write(tmp_path, job.model_copy(update={"id": "other"})) / name)
    assert list(ppbench.load_summary(tmp_path).job) == [job.id]
    (line,) = caplog.messages
    assert line.startswith(f"{tmp_path / 'plaintext-other' / name} cannot be read: ")
    assert fault in line
    assert "\n" not in line


def test_the_report_of_a_damaged_folder_names_each_that_it_leaves_out(job: JobRecord, tmp_path: Path) -> None:
    own = records.write(tmp_path, job)
    for damage, (name, harm, _) in DAMAGE.items():
        harm(records.write(tmp_path, job.model_copy(update={"id": damage})) / name)
    shutil.copytree(own, tmp_path / "a copy")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / JOB_FILE).write_text("null")
    ended = report(tmp_path)
    assert ended.returncode == 0
    assert str(tmp_path / "summary.csv") in ended.stdout
    lines = ended.stderr.splitlines()
    assert len(lines) == len(DAMAGE) + 2
    assert all("cannot be read" in line or "is the same job" in line for line in lines)
    assert sum(str(tmp_path / "a copy" / JOB_FILE) in line for line in lines) == 1
    assert list(pd.read_csv(tmp_path / "summary.csv").job) == [job.id]


def test_a_folder_that_an_old_version_poisoned_reports_and_measures_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Old versions wrote no digest, and measured values that are not finite."""
    summary = ppbench.run("scheme=plaintext,local", *TASK, results_dir=tmp_path)
    poisoned = next(tmp_path.glob("plaintext-*"))
    document = json.loads((poisoned / JOB_FILE).read_text())
    del document["n_records"], document["records_sha256"]
    (poisoned / JOB_FILE).write_text(json.dumps(document))
    first_value_is("nan")(poisoned / RECORDS_FILE)
    assert list(ppbench.load_summary(tmp_path).scheme) == ["local"]
    (line,) = caplog.messages
    assert line.startswith(f"{poisoned / RECORDS_FILE} cannot be read: cpu_s of coordinator in model is nan")
    again = ppbench.run("scheme=plaintext,local", *TASK, results_dir=tmp_path)
    assert list(again.status) == ["ok", "ok"]
    assert set(again.job) == set(summary.job)


def test_old_results_and_new_ones_are_one_folder(job: JobRecord, tmp_path: Path) -> None:
    shutil.copytree(FIXTURE, tmp_path, dirs_exist_ok=True)
    records.write(tmp_path, job.model_copy(update={"id": "new"}))
    assert sorted(ppbench.load_summary(tmp_path).job) == sorted(["new", *(j.id for j in store.read_all(FIXTURE))])


def test_what_can_be_read_nowhere_is_an_error_of_one_line(tmp_path: Path) -> None:
    for folder, told in ((tmp_path / "absent", "No such file or directory"), (tmp_path, "holds no results")):
        ended = report(folder)
        assert ended.returncode == 2
        (line,) = ended.stderr.splitlines()
        assert str(folder) in line
        assert told in line


def test_what_cannot_be_written_is_told_in_one_line(job: JobRecord, tmp_path: Path) -> None:
    records.write(tmp_path, job)
    full = report(tmp_path, limit_bytes=100)
    assert (full.returncode, full.stderr) == (
        2,
        f"ppbench: {tmp_path / 'summary.csv'} cannot be written: File too large\n",
    )
    (tmp_path / "records.csv").mkdir()
    taken = report(tmp_path)
    assert (taken.returncode, taken.stderr.splitlines()) == (
        2,
        [f"ppbench: {tmp_path / 'records.csv'} cannot be written: Is a directory"],
    )
    assert not list(tmp_path.glob(".*")), "what was begun is still there"


def test_a_job_that_cannot_be_written_is_refused_before_it_is_measured(tmp_path: Path) -> None:
    (name,) = ppbench.run("scheme=local", *TASK, results_dir=tmp_path / "well").job
    (tmp_path / f"local-{name}").touch()
    with pytest.raises(PpbenchError, match=f"local-{name} cannot be made: File exists"):
        ppbench.run("scheme=local", *TASK, results_dir=tmp_path)


VALUES = (3.0, 0.1, 1e300, -2.5e-308, 2.0**53, 2.0**53 + 2, 1e22, 0.0, 1 / 3, 5e-324)


def test_every_value_is_read_back_as_it_was(job: JobRecord, tmp_path: Path) -> None:
    kept = [Record("job", 'a "name",\nof its own', value, "1", process=0, batch=7) for value in VALUES]
    folder = records.write(tmp_path, job.model_copy(update={"records": kept}))
    assert records.read(folder).records == kept
    assert list(ppbench.load_records(tmp_path).value) == list(VALUES)
    assert main(["report", str(tmp_path)]) == 0
    for path in (folder / RECORDS_FILE, tmp_path / "records.csv"):
        cells = pd.read_csv(path, dtype=str)
        assert [float(value) for value in cells.value] == list(VALUES)
        assert list(cells.value[:3]) == ["3", "0.1", "1e+300"]
        assert set(cells.process) == {"0"}
        assert set(cells.batch) == {"7"}


@pytest.mark.parametrize("text", ["none", "None", "NA", "nan", ""])
def test_texts_that_look_like_nothing_survive(job: JobRecord, text: str, tmp_path: Path) -> None:
    named = {"variant": text, "dataset": text, "id": "12e4567890123456"}
    records.write(tmp_path, job.model_copy(update=named))
    assert main(["report", str(tmp_path)]) == 0
    numbers: Any = dict.fromkeys(NUMBERS, "")
    as_documented = pd.read_csv(tmp_path / "summary.csv", keep_default_na=False, na_values=numbers, dtype={"job": str})
    for table in (ppbench.load_summary(tmp_path), as_documented):
        (row,) = table.to_dict("records")
        assert (row["variant"], row["dataset"], row["job"]) == (text, text, "12e4567890123456")
        assert row["accuracy"] == 0.975
        assert math.isnan(row["epsilon"])


def test_numbers_are_numbers_even_where_none_was_measured(job: JobRecord, tmp_path: Path) -> None:
    records.write(tmp_path, job.model_copy(update={"status": "failed", "reason": "x", "records": []}))
    table = ppbench.load_summary(tmp_path)
    assert {column for column in table if pd.api.types.is_numeric_dtype(table[column])} == set(NUMBERS)
    assert table.seed.tolist() == [job.seed]
    values = ppbench.load_records(FIXTURE)
    assert [str(values[column].dtype) for column in ("value", "process", "seed")] == ["float64", "Int64", "Int64"]


@pytest.mark.parametrize(
    ("wrong", "reason", "kept"),
    [
        ("", "", {"largest_logit_error"}),
        ("epsilon", "epsilon in job is inf", {"participant_dense_macs_per_sample"}),
        ("macs", "participant_convolution_macs_per_sample in job is nan", {"participant_dense_macs_per_sample"}),
        ("text", "astray cannot count its macs: ValueError", {"n_samples"}),
        ("debt", "astray: resident_bytes is -1; it must be at least 0", {"participant_dense_macs_per_sample"}),
        ("residence", "participant_resident_bytes in job is nan", {"participant_dense_macs_per_sample"}),
        ("logits", "participant-0 failed in online: participant-0 answers logits of which", {"n_samples"}),
        ("exit", r"astray cannot score its results: SystemExit: nobody \udcff asked; traceback", {"accuracy"}),
        ("score", "published_loss in job is inf", {"accuracy", "largest_logit_error"}),
        ("no name", "astray: score named a value ''; a name is letters, digits and _", {"accuracy"}),
        ("two lines", r"astray: score named a value 'loss\nof all'; a name is", {"accuracy"}),
        ("speechless", "astray cannot score its results: SpeechlessError: what it says cannot be read", {"accuracy"}),
        ("steps", "astray cannot count its steps: OverflowError", {"accuracy", "largest_logit_error"}),
    ],
)
def test_what_is_not_finite_fails_the_job_and_all_before_it_is_kept(
    wrong: str, reason: str, kept: set[str], tmp_path: Path
) -> None:
    job = Job(
        scheme=Astray(wrong=wrong),
        dataset=Digits(),
        model=Mlp(),
        task=TaskOptions(n_samples=20, batch_size=10),
        measure=MeasureOptions(repetitions=1),
    )
    written = experiment.run(job, tmp_path)
    assert written.status == ("failed" if wrong else "ok")
    assert written.reason.startswith(reason)
    assert "\n" not in written.reason
    measured = ppbench.load_records(tmp_path)
    assert {"n_samples", "accuracy_plaintext"} | kept <= set(measured.metric)
    assert np.isfinite(measured.value).all()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("nothing", "astray: prepare returned NoneType, not artifacts by role"),
        ("stranger", "astray: prepare made something for auditor, which is no role of its"),
    ],
)
def test_what_is_prepared_is_for_a_schemes_own_roles(wrong: str, reason: str, tmp_path: Path) -> None:
    job = Job(Astray(wrong=wrong), Digits(), Mlp(), TaskOptions(n_samples=20), MeasureOptions(repetitions=1))
    written = experiment.run(job, tmp_path)
    assert (written.status, written.reason) == ("failed", reason)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_record_is_finite(value: float) -> None:
    with pytest.raises(PpbenchError, match="cpu_s of participant-0 in online is "):
        Record("online", "cpu_s", value, "s", party="participant-0")


def test_many_variants_are_a_page_and_name_the_best_the_worst_and_the_baselines(job: JobRecord, tmp_path: Path) -> None:
    records.write(tmp_path, job)
    for i in range(1, 80):
        slower = [
            dataclasses.replace(r, value=r.value * (1 + i)) if r.metric in ("cpu_s", "payload_bytes_sent") else r
            for r in job.records
        ]
        config = {**job.config, "scheme": {"name": "theirs", "pool": i}}
        fields = {"id": str(i), "scheme": "theirs", "variant": f"pool={i}", "config": config, "records": slower}
        records.write(tmp_path, job.model_copy(update=fields))
    assert main(["report", str(tmp_path)]) == 0
    for name in ("accuracy_vs_bytes", "compute_per_party"):
        assert imread(tmp_path / f"figures/{name}.png").shape[0] <= 200 * PAGE_IN
        tree = ElementTree.parse(tmp_path / f"figures/{name}.svg")
        texts = " ".join("".join(node.itertext()) for node in tree.iter("{http://www.w3.org/2000/svg}text"))
        assert "plaintext" in texts
        assert "theirs (pool=1)" in texts
        assert "summary.csv has all" in texts
    assert "theirs (pool=79)" in texts
    assert "theirs (pool=40)" not in texts
