"""A party reaches others over its channels and sockets alone: of files it has code, and a folder of its own."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ppbench import bundle, cache
from ppbench.data.digits import Digits
from ppbench.launch import confine, landlock, seccomp
from ppbench.measure import experiment
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.models.mlp import Mlp
from ppbench.process import environment, module_command
from tests.faults.curious import Curious

MEASURE = MeasureOptions(warmup_batches=0, repetitions=1, deadline_s=60)
pytestmark = pytest.mark.skipif(not (landlock.abi() and seccomp.available()), reason="needs Landlock and seccomp")


@pytest.fixture
def everywhere(tmp_path: Path) -> Iterator[list[Path]]:
    """A file in each folder that parties must not share: of all, of results, of other parties, and the cache."""
    name = f"ppbench-test-{uuid.uuid4().hex}"
    results = tmp_path / "results"
    folders = [Path("/dev/shm"), Path(tempfile.gettempdir()), tmp_path, results, results / "another" / "logs"]
    files = [folder / name for folder in (*folders, cache.cache_dir())]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("what a party left there")
    yield files
    for file in files:
        file.unlink()


@pytest.fixture
def listener() -> Iterator[str]:
    """The name of an abstract socket that somebody listens on."""
    name = f"ppbench-test-{uuid.uuid4().hex}"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"\0{name}")
        listening.listen()
        yield name


@pytest.mark.parametrize("wire", ["tcp", "namespaces"])
def test_a_party_reads_code_alone_and_writes_to_its_own_folder(
    tmp_path: Path, everywhere: list[Path], listener: str, wire: str
) -> None:
    code = [Path(experiment.__file__), Path("/etc/passwd"), Path("/proc/self/status"), Path("/proc/cpuinfo")]
    scheme = Curious(tuple(map(str, everywhere + code)), tuple(str(file.parent) for file in everywhere), listener)
    record = experiment.run(Job(scheme, Digits(), Mlp(), TaskOptions(4), MEASURE, wire), tmp_path / "results")
    assert record.status == "ok", record.reason
    tried = bundle.load(tmp_path / "results" / record.folder / "published" / "participant-0.npz")
    assert tried["read"].tolist() == [False] * len(everywhere) + [True] * len(code)
    assert tried["written"].tolist() == [False] * len(everywhere) + [True]
    assert not tried["reached"].any() or landlock.abi() < 6
    assert record.provenance.confinement == f"files by Landlock (ABI {landlock.abi()}), children and sockets by seccomp"


def test_results_are_hidden_also_where_code_is_beside_them(
    tmp_path: Path, everywhere: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    scheme = Curious(tuple(map(str, everywhere)))
    record = experiment.run(Job(scheme, Digits(), Mlp(), TaskOptions(4), MEASURE), tmp_path / "results")
    assert record.status == "ok", record.reason
    tried = bundle.load(tmp_path / "results" / record.folder / "published" / "participant-0.npz")
    assert [file.parent for file, read in zip(everywhere, tried["read"], strict=True) if read] == [tmp_path]


def test_what_runs_under_another_program_is_confined_as_well(tmp_path: Path, everywhere: list[Path]) -> None:
    own = tmp_path / "own"
    own.mkdir()
    told = confine.arguments(own, (tmp_path / "results",), "base64", under=("/usr/bin/env",))
    readable = [Path(experiment.__file__), Path("/proc/self/status")]
    for file in [*everywhere, *readable]:
        command = [*module_command("ppbench.launch.confine"), *told, "-e", str(file)]
        ended = subprocess.run(command, capture_output=True, text=True, env=environment(threads=1), cwd=own)
        assert (ended.returncode == 0) == (file in readable), ended.stderr
        assert file in readable or "PermissionError" in ended.stderr


def test_threads_of_the_harness_are_not_confined(tmp_path: Path, listener: str) -> None:
    job = Job(Curious(socket=listener), Digits(), Mlp(), TaskOptions(4), MEASURE, wire="memory")
    record = experiment.run(job, tmp_path)
    assert record.status == "ok", record.reason
    assert bundle.load(tmp_path / record.folder / "published" / "participant-0.npz")["reached"].all()
    assert record.provenance.confinement == "nothing: they are threads of the harness"
