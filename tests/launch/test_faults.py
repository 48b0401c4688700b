"""Whatever a party does, its job ends in time as a record with a reason, and nothing of it is left behind."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ppbench import records, store
from ppbench.errors import ConfigError
from ppbench.measure import experiment
from ppbench.measure.job import Job
from tests.faults.job import DEADLINE_S, faulty_job
from tests.faults.scheme import CHILD_CPU_S, PRINTED_BYTES, SLEEPER, Faulty, HungUp
from tests.helpers.processes import processes_with, wait_until_gone

STAGES = ("setup", "train", "offline", "online")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


def test_without_a_fault_the_job_is_measured(tmp_path: Path, marker: str) -> None:
    record = experiment.run(faulty_job(Faulty()), tmp_path)
    assert record.status == "ok"
    assert not (tmp_path / record.folder / "logs").exists()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("raise", "participant-0 failed in {stage}: ValueError: the sensor is on fire"),
        ("exit", "participant-0 failed in {stage}: exited with status 3"),
        ("kill", "participant-0 failed in {stage}: killed by SIGKILL"),
        # Both the coordinator and the helper get it, and either may be the first to say so.
        ("garbage", "(coordinator|helper) failed in {stage}: nothing usable came from participant-0"),
        ("half", "participant-0 failed in {stage}: exited with status 0"),
    ],
)
def test_a_failing_participant_ends_the_job_at_once(
    tmp_path: Path, marker: str, stage: str, fault: str, told: str
) -> None:
    record = experiment.run(faulty_job(Faulty(stage=stage, fault=fault)), tmp_path)
    assert record.status == "failed"
    assert re.match(told.format(stage=stage), record.reason)
    assert "\n" not in record.reason
    assert records.read(tmp_path / record.folder).reason == record.reason
    log = f"{record.folder}/logs/participant-0.txt"
    assert record.reason.endswith(f"; traceback in {log}") == (fault == "raise")
    if fault == "raise":
        assert "Traceback" in (tmp_path / log).read_text()
        assert "in setup" in (tmp_path / log).read_text() or stage != "setup"


@pytest.mark.parametrize("wire", ["tcp", "memory"])
def test_a_traceback_is_that_of_the_last_run_wherever_the_party_lives(tmp_path: Path, marker: str, wire: str) -> None:
    job = dataclasses.replace(faulty_job(Faulty(stage="setup")), wire=wire)
    for _ in range(2):
        record = experiment.run(job, tmp_path)
    written = (tmp_path / record.reason.partition("; traceback in ")[2]).read_text()
    assert written.count("ValueError: the sensor is on fire") == 1


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_without_a_loopback_there_is_one_line(tmp_path: Path, marker: str) -> None:
    command = ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("no namespaces here")
    asked = ["run", "scheme=plaintext", "dataset=digits", "model=mlp", "model.epochs=1", f"results_dir={tmp_path}"]
    ran = subprocess.run([*command, sys.executable, "-m", "ppbench.cli", *asked], capture_output=True, timeout=100)
    (told,) = (read.reason for read in store.read_all(tmp_path))
    assert re.match(r"no loopback for the parties to meet on: 127\.0\.0\.1 does not answer \(", told)
    assert ran.returncode == 1
    assert b"Traceback" not in ran.stdout + ran.stderr


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("fault", "state"), [("stop", "stopped"), ("hang", "waiting")])
def test_a_party_that_answers_no_more_ends_the_job_at_its_deadline(
    tmp_path: Path, marker: str, stage: str, fault: str, state: str
) -> None:
    began_s = time.monotonic()
    record = experiment.run(faulty_job(Faulty("coordinator", stage, fault), DEADLINE_S), tmp_path)
    assert record.status == "failed"
    assert f"deadline of {DEADLINE_S:g} s passed in {stage}" in record.reason
    assert f"coordinator ({state})" in record.reason
    assert time.monotonic() - began_s < DEADLINE_S + 5


@pytest.mark.parametrize("fault", ["raise", "exit", "kill"])
def test_a_third_party_that_fails_while_it_serves_ends_the_job(tmp_path: Path, marker: str, fault: str) -> None:
    record = experiment.run(faulty_job(Faulty(party="helper", fault=fault)), tmp_path)
    assert record.status == "failed"
    assert record.reason.startswith("helper failed in ")


def test_a_third_party_that_dies_after_all_have_complained_of_it_is_named(tmp_path: Path, marker: str) -> None:
    record = experiment.run(faulty_job(HungUp()), tmp_path)
    assert record.reason == "helper failed in online: killed by SIGKILL"


def test_a_limit_on_memory_needs_processes_and_is_no_part_of_a_job_without_one() -> None:
    job = faulty_job(Faulty())
    limited = dataclasses.replace(job.measure, memory_bytes=1 << 30)
    with pytest.raises(ConfigError, match=r"measure\.memory_bytes needs processes of the parties' own"):
        dataclasses.replace(job, measure=limited, wire="memory")
    with pytest.raises(ConfigError, match=r"measure\.memory_bytes"):
        dataclasses.replace(job.measure, memory_bytes=0)
    assert "memory_bytes" not in job.to_config()["measure"]
    same = dataclasses.replace(job, measure=limited)
    assert Job.from_config(same.to_config(), same.classes()).id == same.id != job.id


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("raise", "ValueError: the sensor is on fire; traceback in {folder}/logs/prepare.txt"),
        ("exit", "exited with status 3"),
        ("kill", "killed by SIGKILL"),
    ],
)
def test_a_preparation_that_fails_is_a_failed_job(tmp_path: Path, marker: str, fault: str, told: str) -> None:
    record = experiment.run(faulty_job(Faulty(stage="prepare", fault=fault)), tmp_path)
    assert record.status == "failed"
    assert record.reason.endswith(f" could not be prepared: {told.format(folder=record.folder)}")
    _, named, path = record.reason.partition("; traceback in ")
    if named:
        lines = (tmp_path / path).read_text().splitlines()
        assert any(line.endswith("in _raise") for line in lines)
        assert lines[-1] == "ValueError: the sensor is on fire"


@pytest.mark.parametrize("stage", ["prepare", "setup"])
def test_what_a_process_started_ends_with_it(tmp_path: Path, marker: str, stage: str) -> None:
    record = experiment.run(faulty_job(Faulty(stage=stage, fault="children")), tmp_path)
    assert record.status == "ok"


def test_what_a_party_started_is_charged_to_it_while_it_lives(tmp_path: Path, marker: str) -> None:
    record = experiment.run(faulty_job(Faulty(stage="train", fault="compute")), tmp_path)
    cpu_s = {(r.stage, r.party): r.value for r in record.records if r.metric == "cpu_s"}
    assert cpu_s["train", "participant-0"] > CHILD_CPU_S
    assert cpu_s["online", "participant-0"] < CHILD_CPU_S
    assert cpu_s["train", "coordinator"] < CHILD_CPU_S


def test_of_what_a_party_prints_beginning_and_end_are_kept(tmp_path: Path, marker: str) -> None:
    record = experiment.run(faulty_job(Faulty(stage="setup", fault="print")), tmp_path)
    assert record.status == "ok"
    printed = (tmp_path / record.folder / "logs" / "participant-0.txt").read_bytes()
    assert printed.startswith(b"in the beginning.")
    assert printed.endswith(b".at the end")
    n_kept = printed.count(b".")
    assert n_kept < 1 << 20
    assert f"[{PRINTED_BYTES - n_kept:,} bytes that were printed here are not kept]".encode() in printed


@pytest.mark.parametrize("fault", ["hoard", "swell"])
def test_a_party_that_holds_too_much_memory_ends_the_job(tmp_path: Path, marker: str, fault: str) -> None:
    job = faulty_job(Faulty("coordinator", "train", fault))
    limited = dataclasses.replace(job.measure, memory_bytes=200_000_000)
    record = experiment.run(dataclasses.replace(job, measure=limited), tmp_path)
    assert record.status == "failed"
    told = r"coordinator held \d+ MB in train, more than the 200 MB of measure\.memory_bytes"
    assert re.fullmatch(told, record.reason)


@pytest.mark.parametrize("fault", ["stop", "hang"])
def test_a_preparation_that_never_ends_is_a_failed_job(tmp_path: Path, marker: str, fault: str) -> None:
    job = faulty_job(Faulty(stage="prepare", fault=fault))
    soon = dataclasses.replace(job.measure, prepare_deadline_s=DEADLINE_S)
    record = experiment.run(dataclasses.replace(job, measure=soon), tmp_path)
    assert record.reason == f"the deadline of {DEADLINE_S:g} s passed in prepare"


def test_after_a_fault_the_next_job_runs(tmp_path: Path, marker: str) -> None:
    assert experiment.run(faulty_job(Faulty(stage="online", fault="kill")), tmp_path).status == "failed"
    assert experiment.run(faulty_job(Faulty()), tmp_path).status == "ok"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the processes that the test starts have their temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def wait_until_empty(folder: Path) -> list[Path]:
    """What is still there after ten seconds."""
    end_s = time.monotonic() + 10
    while (left := list(folder.iterdir())) and time.monotonic() < end_s:
        time.sleep(0.05)
    return left


def endless_run(results_dir: Path) -> subprocess.Popen[str]:
    """A job that goes on for hours, once its parties are at work."""
    overrides = ["scheme=plaintext", "dataset=digits", "model=mlp", "measure.repetitions=1000000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ppbench.cli", "run", *overrides, f"results_dir={results_dir}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("measuring"):
            return process
    raise AssertionError("the job never started")


@pytest.mark.parametrize(("number", "n_signals"), [(signal.SIGINT, 1), (signal.SIGINT, 8), (signal.SIGTERM, 1)])
def test_an_interrupted_run_leaves_nothing_behind(
    tmp_path: Path, marker: str, temporary: Path, number: signal.Signals, n_signals: int
) -> None:
    process = endless_run(tmp_path / "results")
    assert list(temporary.iterdir())
    for _ in range(n_signals):
        process.send_signal(number)
        time.sleep(0.03)
    output, _ = process.communicate(timeout=15)
    assert process.returncode == 128 + number
    assert "interrupted" in output
    assert "Traceback" not in output
    assert not wait_until_empty(temporary)


def test_when_the_harness_is_killed_its_parties_die_and_their_folders_go(
    tmp_path: Path, marker: str, temporary: Path
) -> None:
    process = endless_run(tmp_path / "results")
    assert list(temporary.iterdir())
    process.kill()
    process.communicate(timeout=15)
    assert not wait_until_gone(marker)
    assert not wait_until_empty(temporary)


def trained_for_hours(results_dir: Path, cache: Path, *overrides: str) -> subprocess.Popen[bytes]:
    """A sweep whose models are in training for as long as anybody waits."""
    given = ["scheme=plaintext", "dataset=digits", "model=mlp", "model.epochs=1000000", "model.seed=0,1"]
    return subprocess.Popen(
        [sys.executable, "-m", "ppbench", "run", "-m", *given, *overrides, f"results_dir={results_dir}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PPBENCH_CACHE": str(cache)},
    )


@pytest.mark.slow
def test_when_the_harness_is_killed_at_any_moment_of_preparation_nobody_is_left(tmp_path: Path, marker: str) -> None:
    n_workers = 0
    for turn in range(3):
        process = trained_for_hours(tmp_path / "results", tmp_path / "cache")
        end_s = time.monotonic() + 60
        # From the moment at which the first worker is there, a little later each time.
        while not (workers := workers_of(process.pid)) and time.monotonic() < end_s:
            time.sleep(0.001)
        time.sleep(turn**2 * 0.1)
        n_workers += len(workers)
        process.kill()
        process.wait()
        assert not wait_until_gone(marker)
    assert n_workers >= 3


@pytest.mark.parametrize("stage", ["prepare", "setup"])
def test_when_the_harness_is_killed_what_its_children_started_dies_too(tmp_path: Path, marker: str, stage: str) -> None:
    program = (
        "import pathlib; from ppbench.measure import experiment; from tests.faults.scheme import Faulty;"
        "from tests.faults.job import faulty_job;"
        f"experiment.run(faulty_job(Faulty(stage={stage!r}, fault='grandchildren')), pathlib.Path({str(tmp_path)!r}))"
    )
    harness = subprocess.Popen([sys.executable, "-c", program])
    end_s = time.monotonic() + 60
    while len(sleepers := [pid for pid in processes_with(marker) if command_of(pid) == SLEEPER]) < 2:
        assert time.monotonic() < end_s
        time.sleep(0.01)
    harness.kill()
    harness.wait()
    assert not wait_until_gone(marker), sleepers


def command_of(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    except OSError:
        return []


def workers_of(pid: int) -> list[int]:
    """The children of a process that carry its environment: not the one that ends the others."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found
