"""The command line as a user meets it, on the zero-download data set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from ppbench.launch import confine
from ppbench.report.summary import COLUMNS
from tests.helpers.command import run_command as ppbench

SMALL = [
    *("dataset=digits", "model=mlp", "task.n_samples=50", "task.batch_size=16"),
    *("measure.repetitions=2", "measure.calibrate=false"),
]


def summary(results_dir: Path) -> pd.DataFrame:
    return pd.read_csv(results_dir / "summary.csv", keep_default_na=False, dtype=str)


def test_one_job(tmp_path: Path) -> None:
    ended = ppbench("run", "scheme=plaintext", *SMALL, f"results_dir={tmp_path}")
    assert ended.returncode == 0, ended.stderr
    (row,) = summary(tmp_path).to_dict("records")
    assert set(COLUMNS) <= set(row)
    assert row["status"] == "ok"
    assert row["n_samples"] == "50"
    assert float(row["accuracy"]) > 0.9
    assert row["agreement"] == "1.0"
    assert row["rounds"] == "2.0"
    assert row["up_message_bytes_per_sample"] == "64.0"
    assert 64 < float(row["up_bytes_per_sample"]) < 70
    assert row["bytes_source"] == "tcp_info"
    assert row["third_party_cpu_s_per_sample"] == ""


def test_a_sweep_and_its_continuation(tmp_path: Path) -> None:
    given = ["run", "-m", "scheme=plaintext,local", "seed=0,1", *SMALL, f"results_dir={tmp_path}"]
    assert ppbench(*given).returncode == 0
    rows = summary(tmp_path)
    assert sorted(zip(rows.scheme, rows.seed, strict=True)) == [
        ("local", "0"),
        ("local", "1"),
        ("plaintext", "0"),
        ("plaintext", "1"),
    ]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/job.json")}
    again = ppbench(*given)
    assert again.returncode == 0
    assert again.stdout.count("measured before") == 4
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/job.json")}


def test_a_sweep_has_one_results_folder_by_default(tmp_path: Path) -> None:
    ended = ppbench("run", "-m", "scheme=local", "seed=0,1,2", *SMALL, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    (folder,) = (tmp_path / "results" / "local").iterdir()
    assert list(summary(folder).seed) == ["0", "1", "2"]


@pytest.mark.parametrize("sweep", [["seed=0"], ["-m", "seed=0,1"]])
def test_a_results_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path, sweep: list[str]) -> None:
    (tmp_path / "file").touch()
    ended = ppbench("run", "scheme=local", *sweep, *SMALL, f"results_dir={tmp_path / 'file'}")
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [f"ppbench: results_dir={tmp_path / 'file'} cannot be made: File exists"]


def test_parties_find_the_modules_that_the_harness_finds(tmp_path: Path) -> None:
    (tmp_path / "schemes").mkdir()
    (tmp_path / "schemes" / "__init__.py").write_text("raise RuntimeError('a stranger')")
    program = "import sys, ppbench.cli; sys.path.remove(''); sys.exit(ppbench.cli.main())"
    command = [sys.executable, "-c", program, "run", "scheme=local", *SMALL, "results_dir=here"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_look_at_the_configuration_is_no_failure() -> None:
    assert ppbench("run", "--cfg", "job").returncode == 0


def test_an_experiment_needs_no_flag_and_the_command_line_wins(tmp_path: Path) -> None:
    """The main job itself, small."""
    smaller = ["scheme=plaintext,local_small", "seed=3"]
    ended = ppbench("run", "+experiment=quickstart", *SMALL, *smaller, f"results_dir={tmp_path}")
    assert ended.returncode == 0, ended.stderr
    rows = summary(tmp_path)
    assert set(zip(rows.scheme, rows.variant, rows.seed, strict=True)) == {
        ("plaintext", "", "3"),
        ("local", "model=small", "3"),
    }


def test_a_job_that_fails_is_a_row_with_a_reason_and_the_others_go_on(tmp_path: Path) -> None:
    given = ["scheme=plaintext,local", "model=mlp,lenet", "dataset=digits", "task.n_samples=20"]
    ended = ppbench("run", "-m", *given, "measure.repetitions=1", f"results_dir={tmp_path}")
    assert ended.returncode == 1
    rows = {(row["scheme"], row["model"]): row for row in summary(tmp_path).to_dict("records")}
    assert rows["local", "mlp"]["status"] == "ok"
    failed = rows["local", "lenet"]
    assert failed["status"] == "failed"
    assert "model=lenet takes samples of shape (28, 28)" in failed["reason"]
    assert failed["accuracy"] == failed["up_bytes_per_sample"] == ""


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["scheme=plaintxt"], "no scheme named 'plaintxt'; did you mean 'plaintext'?"),
        (["scheme=obfnet", "scheme.pool=3"], "no option in scheme named 'pool'; did you mean 'pool_size'?"),
        (["scheme=obfnet", "scheme.pool_size=x"], "scheme.pool_size='x' must be of type int"),
        (["scheme=obfnet", "scheme.pool_size=0"], "scheme.pool_size=0 must be at least 1"),
        (["scheme=obfnet", "scheme.encoding=int4"], "scheme.encoding='int4' is not one of float32, float16, uint8"),
        (["task.batch_size=0"], "task.batch_size=0 must be from 1 to 2147483647"),
        (["measure.deadline_s=-1"], "measure.deadline_s=-1"),
        (["wire=pigeon"], "wire='pigeon' is not one of memory, namespaces, remote, tcp"),
        (["+experiment=quickstat"], "did you mean 'quickstart'?"),
        (["+colour=red"], "no configuration key named 'colour'"),
        (["seed=-1"], "seed=-1 must be from 0 to 2147483647"),
        (["task.n_participants=5", "task.n_samples=4"], "task.n_participants=5 without any"),
        (["-m", "scheme=plaintext,obfnt"], "did you mean 'obfnet'?"),
        (["scheme=plaintext,local"], "2 jobs are asked for: ppbench run -m sweeps"),
    ],
)
def test_bad_input_is_refused_in_one_line_before_anything_runs(tmp_path: Path, overrides: list[str], told: str) -> None:
    ended = ppbench("run", *overrides, f"results_dir={tmp_path / 'none'}", cwd=tmp_path)
    assert ended.returncode == 2
    assert told in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "none").exists()


def test_more_samples_than_there_are(tmp_path: Path) -> None:
    ended = ppbench("run", "dataset=digits", "model=mlp", "task.n_samples=501", f"results_dir={tmp_path}")
    assert ended.returncode == 1
    assert "digits has 500 test samples" in summary(tmp_path).reason[0]


def test_the_catalogue_is_quick_and_tells_what_can_run() -> None:
    ended = ppbench("list")
    assert ended.returncode == 0
    schemes, data_sets, models = ("plaintext", "obfnet", "local_small"), ("mnist", "digits"), ("lenet", "local_cnn")
    for word in (*schemes, *data_sets, *models, "quickstart", "link", "device"):
        assert word in ended.stdout


def test_the_catalogue_imports_no_heavy_engine() -> None:
    program = (
        "import sys, ppbench, ppbench.cli; ppbench.cli.main(['list']);"
        "print(sorted({'torch', 'sklearn', 'matplotlib', 'tenseal'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"


def test_the_doctor_finds_nothing_missing_here() -> None:
    ended = ppbench("doctor")
    assert ended.returncode == 0, ended.stdout
    assert "missing    nothing" in ended.stdout
    assert f"parties    confined: {confine.told()}" in ended.stdout


def test_the_report_is_written_anew(tmp_path: Path) -> None:
    assert ppbench("run", "scheme=local", *SMALL, f"results_dir={tmp_path}").returncode == 0
    first = (tmp_path / "summary.csv").read_text()
    (tmp_path / "summary.csv").unlink()
    assert ppbench("report", str(tmp_path)).returncode == 0
    assert (tmp_path / "summary.csv").read_text() == first


@pytest.mark.parametrize("damage", ["no job", "bad json", "future schema"])
def test_a_report_of_unreadable_results_names_file_and_fault(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "plaintext-0"
    if damage != "no job":
        folder.mkdir()
        (folder / "job.json").write_text("{" if damage == "bad json" else json.dumps({"schema_version": 99}))
    ended = ppbench("report", str(tmp_path))
    assert ended.returncode == 2
    assert len(ended.stderr.strip().splitlines()) == 1
    assert str(tmp_path) in ended.stderr


def test_unknown_commands_and_arguments() -> None:
    assert ppbench("fly").returncode == 2
    assert ppbench("list", "--loud").returncode == 2


def test_every_job_tells_where_it_comes_from(tmp_path: Path) -> None:
    ended = ppbench("run", "scheme=local", *SMALL, f"results_dir={tmp_path}")
    assert ended.returncode == 0, ended.stderr
    (path,) = tmp_path.glob("*/job.json")
    job = json.loads(path.read_text())
    origin = job["provenance"]
    assert job["schema_version"] == 1
    assert origin["data_route"].startswith("scikit-learn")
    assert len(origin["data_sha256"]) == 64
    assert {"numpy", "torch", "hydra-core"} <= set(origin["package_versions"])
    assert "scheme=local" in origin["command"]
    assert origin["cpu"]
    assert origin["n_cpus"] >= 1


def test_from_python_with_a_data_frame_in_hand(tmp_path: Path) -> None:
    program = (
        "import ppbench\n"
        f"table = ppbench.run('scheme=plaintext,local', *{SMALL!r}, results_dir={str(tmp_path)!r})\n"
        "assert list(table.scheme) == ['plaintext', 'local'], table\n"
        f"records = ppbench.load_records({str(tmp_path)!r})\n"
        "assert {'cpu_s', 'payload_bytes_sent', 'latency_s'} <= set(records.metric)\n"
        f"assert len(ppbench.load_summary({str(tmp_path)!r})) == 2\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_two_runs_that_need_the_same_model_train_it_once(tmp_path: Path) -> None:
    environment = {**os.environ, "PPBENCH_CACHE": str(tmp_path / "cache")}
    runs = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "ppbench.cli",
                "run",
                f"scheme={scheme}",
                *SMALL,
                f"results_dir={tmp_path / scheme}",
            ],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for scheme in ("plaintext", "local")
    ]
    outputs = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert sum("training mlp" in output for output in outputs) == 1
    assert len(list((tmp_path / "cache" / "model").glob("*.npz"))) == 1
