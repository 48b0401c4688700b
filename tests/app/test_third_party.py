"""A stranger's package is installed beside ppbench, and takes part in everything without a line of ppbench changed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.command import run_command
from tests.helpers.paths import PLUGINS

PACKAGE = PLUGINS / "hello_scheme"
SMALL = ("dataset=digits", "model=mlp", "task.n_samples=20", "task.batch_size=8", "measure.repetitions=1")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as pip installs it, without asking any index."""
    source, target = tmp_path_factory.mktemp("source") / PACKAGE.name, tmp_path_factory.mktemp("site")
    shutil.copytree(PACKAGE, source)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(source)],
        check=True,
        timeout=120,
    )
    return target


@pytest.fixture
def ppbench(installed: Path, tmp_path: Path) -> Callable[..., str]:
    """Run a command of ppbench in an empty folder, with the package on the path; returns what it printed."""

    def run(*arguments: str) -> str:
        done = run_command(*arguments, cwd=tmp_path, environment={"PYTHONPATH": str(installed), "COLUMNS": "200"})
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_it_is_listed_with_its_configuration(ppbench: Callable[..., str]) -> None:
    printed = ppbench("list")
    assert "coarse samples to the coordinator" in printed
    assert "hello_loud" in printed
    assert "hello_board" in printed


@pytest.mark.parametrize(("choice", "variant"), [("hello", ""), ("hello_loud", "levels=2")])
def test_it_runs_by_name_and_by_a_file_of_its_own(
    ppbench: Callable[..., str], tmp_path: Path, choice: str, variant: str
) -> None:
    ppbench("run", f"scheme={choice}", *SMALL, "results_dir=results")
    (row,) = pd.read_csv(tmp_path / "results" / "summary.csv", keep_default_na=False).to_dict("records")
    assert (row["scheme"], row["variant"], row["status"]) == ("hello", variant, "ok")
    assert float(row["up_message_bytes_per_sample"]) == 64
    assert float(row["accuracy"]) > 0.5
    modelled = pd.read_csv(tmp_path / "results" / "modelled.csv")
    assert modelled[modelled.device == "hello_board"].feasible.any()


def test_it_takes_options_on_the_command_line(ppbench: Callable[..., str], tmp_path: Path) -> None:
    ppbench("run", "scheme=hello", "scheme.levels=8", *SMALL, "results_dir=results")
    assert pd.read_csv(tmp_path / "results" / "summary.csv")["variant"].tolist() == ["levels=8"]


def test_it_conforms(ppbench: Callable[..., str]) -> None:
    printed = ppbench("check", "hello")
    assert "0 failed" in printed
    assert "leaves_no_process" in printed
