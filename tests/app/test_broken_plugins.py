"""Plugins that are installed and broken: a line each, and all others work as if they were not there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.command import run_command
from tests.helpers.paths import PLUGINS, ROOT

UNSOUND = PLUGINS / "unsound"
SMALL = ("model=mlp", "task.n_samples=20", "task.batch_size=8", "measure.repetitions=1", "measure.calibrate=false")
RAISED = "ZeroDivisionError: a plugin may raise anything"
LACKS = "cannot be imported (ModuleNotFoundError: No module named 'a_library_that_nobody_has')"
TWICE = (
    "scheme 'broken_twice' is declared by unsound.schemes:FailsToCheck of unsound and "
    "unsound.schemes:FailsToPrepare of unsound_too: uninstall all but one, or rename it"
)
Ppbench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ppbench(tmp_path: Path) -> Ppbench:
    """Run a command in an empty folder, with the broken plugins on the path."""
    environment = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(UNSOUND)]), "COLUMNS": "400"}

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return run_command(*arguments, cwd=tmp_path, environment=environment | variables)

    return run


def test_they_are_listed_with_what_is_wrong(ppbench: Ppbench) -> None:
    ended = ppbench("list")
    assert (ended.returncode, ended.stderr) == (0, "")
    told = " ".join(ended.stdout.split())
    assert told.count(LACKS) == 3
    assert "(SystemExit: usage: ends_the_process FILE)" in told
    assert "has no attribute 'nothing')" in told
    assert "scheme 'broken_title' has no title" in told
    assert "scheme 'broken_option' has options that no configuration can hold" in told
    assert "scheme 'broken_name' has an option of the name that a method has: options" in told
    assert f"scheme 'broken_why_not' cannot say whether it can run here ({RAISED})" in told
    assert "scheme 'broken_type' declares width as none of what an option may be: bool, int, float, str, a " in told
    assert TWICE in told
    lines = {line.split()[0]: line for line in ended.stdout.splitlines() if line.strip()}
    assert lines["obfnet1"].rstrip().endswith("yes")
    assert "scheme 'broken_choice' cannot say whether it can run here" in lines["broken_choice"]
    (plaintext,) = (line for line in ended.stdout.splitlines() if line.startswith("plaintext "))
    assert plaintext.rstrip().endswith("yes")


def test_the_doctor_says_what_is_wrong_a_line_each(ppbench: Ppbench) -> None:
    ended = ppbench("doctor", PPBENCH_CACHE="/proc/no/such/folder")
    assert (ended.returncode, ended.stderr) == (1, "")
    missing = [line for line in ended.stdout.splitlines() if line.startswith("missing")]
    assert "the cache folder /proc/no/such/folder cannot be written" in missing[0]
    assert sum(LACKS in line for line in missing) == 3
    assert all(" 'broken_" in line for line in missing[1:])


@pytest.mark.slow
def test_in_a_sweep_each_is_a_row_with_its_reason(ppbench: Ppbench, tmp_path: Path) -> None:
    broken = ["import", "exit", "option", "type", "twice", "unavailable", "check", "prepare", "privacy"]
    names = ",".join(["plaintext", *(f"broken_{name}" for name in broken), "local"])
    ended = ppbench("run", "-m", f"scheme={names}", "dataset=digits", *SMALL, "results_dir=results")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout + ended.stderr
    rows = pd.read_csv(tmp_path / "results" / "summary.csv", keep_default_na=False).set_index("scheme")
    assert rows.status.to_dict() == {
        "plaintext": "ok",
        "local": "ok",
        **dict.fromkeys((f"broken_{name}" for name in broken[:6]), "unavailable"),
        **dict.fromkeys(("broken_check", "broken_prepare", "broken_privacy"), "failed"),
    }
    assert rows.reason["broken_import"] == f"scheme 'broken_import' {LACKS}"
    assert RAISED in rows.reason["broken_unavailable"]
    assert rows.reason["broken_twice"] == TWICE
    for name, file in (("check", "prepare"), ("prepare", "prepare"), ("privacy", "harness")):
        reason, _, path = rows.reason[f"broken_{name}"].partition("; traceback in ")
        assert reason.endswith(RAISED)
        assert path.endswith(f"/logs/{file}.txt")
        assert f"in {name}" in (tmp_path / "results" / path).read_text()


def test_a_data_set_and_a_model_too(ppbench: Ppbench, tmp_path: Path) -> None:
    given = ("scheme=plaintext", "dataset=broken_data,broken_load,digits", *SMALL, "model=mlp,broken_model")
    ended = ppbench("run", "-m", *given, "results_dir=results")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout + ended.stderr
    rows = pd.read_csv(tmp_path / "results" / "summary.csv", keep_default_na=False).set_index(["dataset", "model"])
    assert rows.status.to_dict() == {
        ("digits", "mlp"): "ok",
        ("digits", "broken_model"): "unavailable",
        ("broken_data", "mlp"): "unavailable",
        ("broken_data", "broken_model"): "unavailable",
        ("broken_load", "mlp"): "failed",
        ("broken_load", "broken_model"): "unavailable",
    }
    assert RAISED in rows.reason["broken_load", "mlp"]
    assert rows.reason["digits", "broken_model"] == f"model 'broken_model' {LACKS}"


def test_a_cache_that_cannot_be_written_is_the_reason_of_a_row(ppbench: Ppbench, tmp_path: Path) -> None:
    ended = ppbench("run", "dataset=digits", *SMALL, "results_dir=results", PPBENCH_CACHE="/proc/no/such/folder")
    assert ended.returncode == 1
    (row,) = pd.read_csv(tmp_path / "results" / "summary.csv").to_dict("records")
    assert row["reason"].startswith("the cache folder /proc/no/such/folder cannot be written (")
