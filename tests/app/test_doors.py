"""Ways into ppbench that a user takes in the first hour, with nothing given that he need not give."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pandas as pd
import pytest

import ppbench as ppbench_package
from ppbench import cli, run
from ppbench.app import config
from ppbench.app.results_dir import new_results_dir
from ppbench.errors import ConfigError

SMALL = ("dataset=digits", "task.n_samples=20", "measure.repetitions=1", "measure.calibrate=false")
MLP = ("model=mlp", *SMALL)


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ppbench(*arguments: str, cwd: Path, shell: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """A process of its own; `shell` is what follows the command, such as a pipe."""
    command = [sys.executable, "-m", "ppbench.cli", *arguments]
    if shell:
        command = ["bash", "-c", f'set -o pipefail; "$0" "$@" {shell}', *command]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=240
    )


def rows(results_dir: Path) -> list[dict[str, str]]:
    return pd.read_csv(results_dir / "summary.csv", keep_default_na=False, dtype=str).to_dict("records")  # type: ignore[return-value]


def only_folder(cwd: Path) -> Path:
    (folder,) = (cwd / "results" / "local").iterdir()
    return folder


@pytest.mark.parametrize(
    ("arguments", "n_jobs"),
    [
        (["scheme=local"], 1),
        (["-m", "scheme=local", "seed=0,1"], 2),
        (["scheme=local", "hydra.job.chdir=true", "hydra.run.dir=elsewhere"], 1),
        (["-m", "scheme=local", "seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"], 2),
        (["-m", "seed=0,1", "hydra.job.chdir=true", "hydra.sweep.dir=elsewhere", "hydra/launcher=basic"], 2),
        (["+experiment=mine", "--config-dir", "configuration"], 2),
    ],
)
def test_a_command_without_a_results_folder_makes_one_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], n_jobs: int
) -> None:
    experiment = tmp_path / "configuration" / "experiment" / "mine.yaml"
    experiment.parent.mkdir(parents=True)
    experiment.write_text("# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {jobs: ['scheme=local seed=0,1']}}\n")
    assert cli.main(["run", *arguments, *MLP]) == 0
    folder = only_folder(tmp_path)
    assert [row["status"] for row in rows(folder)] == ["ok"] * n_jobs
    assert f"wrote {folder.relative_to(tmp_path)}/summary.csv" in capsys.readouterr().out


def test_a_call_from_python_makes_a_folder_too(tmp_path: Path) -> None:
    assert run("scheme=local", *MLP).status.tolist() == ["ok"]
    assert len(rows(only_folder(tmp_path))) == 1


def test_two_commands_of_one_second_have_a_folder_each(tmp_path: Path) -> None:
    def new() -> AbstractContextManager[Path]:
        return new_results_dir(lambda folder: folder, lambda folder: [folder / "below"])

    with new() as one, new() as other:
        assert one.is_dir()
        assert other.is_dir()
        assert one != other
    assert not (tmp_path / "results").exists()


def test_a_folder_that_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "results" / "local").mkdir(parents=True)
    with pytest.raises(ConfigError):
        run("scheme=no_such_scheme", *MLP)
    assert (tmp_path / "results" / "local").is_dir()


def test_who_names_a_folder_needs_no_other(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    assert run("scheme=local", *MLP, results_dir="here").status.tolist() == ["ok"]
    assert cli.main(["run", "scheme=local", *MLP, "results_dir=here"]) == 0


def test_an_experiment_may_name_the_folder_as_well(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    experiment = tmp_path / "configuration" / "experiment" / "mine.yaml"
    experiment.parent.mkdir(parents=True)
    experiment.write_text("# @package _global_\nresults_dir: here\n")
    assert cli.main(["run", "+experiment=mine", "--config-dir", "configuration", "scheme=local", *MLP]) == 0
    assert len(rows(tmp_path / "here")) == 1


def test_from_python_one_call_has_one_folder() -> None:
    with pytest.raises(ConfigError, match="results_dir is 2 folders"):
        run("scheme=local", *MLP, "results_dir=here,there")


@pytest.mark.parametrize(
    "option", ["task.n_samples", "task.n_train_samples", "measure.threads", "measure.view_batches"]
)
def test_a_number_that_no_table_holds_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "scheme=local", *MLP, f"{option}={10**23}"]) == 2
    assert option in capsys.readouterr().err


@pytest.mark.parametrize("launcher", ["ppbench", "joblib"])
def test_a_failed_job_fails_the_command_whichever_process_ran_it(tmp_path: Path, launcher: str) -> None:
    sweep = ["-m", "scheme=local,plaintext", "model=mlp,lenet", f"hydra/launcher={launcher}"]
    ended = ppbench("run", *sweep, *SMALL, "results_dir=here", cwd=tmp_path)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert sorted(row["status"] for row in rows(tmp_path / "here")) == ["failed", "failed", "ok", "ok"]
    assert ended.stdout.count("failed: model=lenet takes samples of shape (28, 28)") >= 2


def test_the_table_and_the_status_are_of_the_jobs_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "scheme=local", "model=lenet", *SMALL, "results_dir=here"]) == 1
    capsys.readouterr()
    assert cli.main(["run", "scheme=plaintext", *MLP, "results_dir=here"]) == 0
    shown = capsys.readouterr().out
    assert "| plaintext" in shown
    assert "| local" not in shown
    assert [row["scheme"] for row in rows(tmp_path / "here")] == ["local", "plaintext"]


def test_what_cannot_be_read_any_more_is_measured_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["run", "scheme=local", *MLP, "results_dir=here"]
    assert cli.main(given) == 0
    (job,) = (tmp_path / "here").glob("*/job.json")
    job.write_text("{")
    assert cli.main(given) == 0
    assert "measured before" not in capsys.readouterr().out
    assert [row["status"] for row in rows(tmp_path / "here")] == ["ok"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["+experiment=mien", "--config-dir", "configuration"], "did you mean 'mine'?"),
        (["task.n_smples=3", "--config-dir", "configuration"], "did you mean 'n_samples'?"),
        (["--config-dir", "nowhere"], "--config-dir nowhere is no folder"),
        (["results_dir=null"], "results_dir=None must be the name of a folder"),
        (["seed=1180591620717411303424"], "seed=1180591620717411303424 must be from 0 to"),
        (["measure.deadline_s=inf"], "measure.deadline_s=inf must be from"),
        (["--experimental-rerun", "nope"], "--experimental-rerun runs nothing here"),
        (["--bogus"], "unrecognized arguments: --bogus"),
        (["-m", "seed=interval(0,1)"], "Can only enumerate CHOICE and RANGE sweeps"),
        (["seed"], "'seed' cannot be read"),
        (["device=esp32"], "device=esp32: no job runs on a device; modelled.csv has every job that was measured with"),
        (["nonsense=1"], "Could not override 'nonsense'"),
        (["task.n_samples=[1"], "'task.n_samples=[1' cannot be read"),
        (["-m", "scheme=glob(nothing*)"], "no job is asked for"),
        (["results_dir=configuration/file"], "results_dir=configuration/file cannot be made: File exists"),
    ],
)
def test_what_is_asked_wrongly_is_told_in_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    (tmp_path / "configuration" / "experiment").mkdir(parents=True)
    (tmp_path / "configuration" / "experiment" / "mine.yaml").touch()
    (tmp_path / "configuration" / "file").touch()
    assert cli.main(["run", "dataset=digits", "model=mlp", *arguments]) == 2
    complaint = capsys.readouterr().err
    assert told in complaint
    assert len(complaint.splitlines()) == 1
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("name", ["größe", "with spaces", "a=b", "it's", "'quoted'", "a,b"])
def test_a_folder_may_have_any_name(name: str) -> None:
    composed = config.compose_all(config.readable(["dataset=digits", f"results_dir={name}"])).jobs
    names = name.split(",") if name == "a,b" else [name.strip("'")]
    assert [one.results_dir for one in composed] == names


def test_schemes_may_be_named_by_a_pattern(tmp_path: Path) -> None:
    assert cli.main(["run", "-m", "scheme=glob([plain*,local_small])", *MLP, "results_dir=größe"]) == 0
    assert {(row["scheme"], row["variant"]) for row in rows(tmp_path / "größe")} == {
        ("plaintext", ""),
        ("local", "model=small"),
    }


def test_work_goes_on_when_nobody_reads_what_is_printed(tmp_path: Path) -> None:
    given = ["run", "-m", "scheme=local", "seed=0,1", *MLP, "results_dir=here"]
    ended = ppbench(*given, cwd=tmp_path, shell="| head -1")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(rows(tmp_path / "here")) == 2


@pytest.mark.parametrize("shell", ["| head -1", ">&-", "2>&-"])
def test_a_closed_output_is_no_fault(tmp_path: Path, shell: str) -> None:
    ended = ppbench("list", cwd=tmp_path, shell=shell)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_full_disk_under_standard_output_is_told_in_one_line(tmp_path: Path) -> None:
    ended = ppbench("list", cwd=tmp_path, shell="> /dev/full")
    assert ended.returncode == 0
    assert ended.stderr == "ppbench: standard output: No space left on device\n"


def test_a_terminal_without_the_letters_shows_others(tmp_path: Path) -> None:
    ended = ppbench("run", "scheme=local", *MLP, "results_dir=here", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert ended.returncode == 0, ended.stderr
    assert " us |" in ended.stdout
    assert ended.stdout.isascii()


@pytest.mark.parametrize(("arguments", "environment"), [(["--debug"], {}), ([], {"PPBENCH_DEBUG": "1"}), ([], {})])
def test_a_traceback_is_shown_to_who_asks_for_it(
    tmp_path: Path, arguments: list[str], environment: dict[str, str]
) -> None:
    ended = ppbench("run", "scheme=plaintxt", *arguments, cwd=tmp_path, **environment)
    assert ended.returncode == 2
    assert ("Traceback" in ended.stderr) == bool(arguments or environment)
    assert ended.stderr.splitlines()[-1].startswith("ppbench: no scheme named 'plaintxt'")


def test_what_there_is_to_call_can_be_looked_up() -> None:
    assert {"run", "load_summary", "load_records", "__version__"} <= set(dir(ppbench_package))


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert (end.value.code, capsys.readouterr().out) == (0, f"ppbench {ppbench_package.__version__}\n")


def test_the_help_says_what_each_exit_status_means(tmp_path: Path) -> None:
    ended = ppbench("--help", cwd=tmp_path)
    for status in ("0", "1", "2", "3", "130"):
        assert f"\n  {status} " in ended.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_sweep_leaves_a_summary_of_what_was_measured(tmp_path: Path, number: signal.Signals) -> None:
    sweep = ["-m", "scheme=local", "measure.repetitions=1,1000000", "dataset=digits", "model=mlp"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ppbench.cli", "run", *sweep, "results_dir=here"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while "[1/2]" not in process.stdout.readline():
        pass
    while "measuring" not in process.stdout.readline():
        pass
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert told == "ppbench: interrupted; what was measured is kept, and every party has been ended\n"
    assert [row["status"] for row in rows(tmp_path / "here")] == ["ok"]
