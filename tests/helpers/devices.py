"""`ppbench participant` as a device runs it, and the jobs that it serves."""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path

import numpy as np

from ppbench.data.digits import Digits
from ppbench.launch.door import Door
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.models.mlp import Mlp
from ppbench.process import Interpreter
from ppbench.scheme import Scheme
from tests.helpers.paths import ROOT

LONGEST_S = 60.0
_INSTALLED = """[ppbench.schemes]
plaintext = schemes.plaintext:Plaintext
obfnet = schemes.obfnet:ObfNet
faulty = tests.faults.scheme:Faulty
needy = tests.helpers.remote_schemes:Needy
calling = tests.helpers.remote_schemes:Calling
"""


def make_bare_environment(folder: Path) -> Path:
    """The Python of an environment with this code, numpy, and the schemes of these tests as if they were installed."""
    venv.create(folder, with_pip=False)
    (site,) = (folder / "lib").glob("python*/site-packages")
    numpy = Path(np.__file__).parent
    for package in (
        numpy,
        numpy.with_name("numpy.libs"),
        *(ROOT / name for name in ("ppbench", "schemes", "tests")),
    ):
        if package.exists():
            (site / package.name).symlink_to(package)
    declared = site / "of_these_tests-0.dist-info"
    declared.mkdir()
    (declared / "METADATA").write_text("Metadata-Version: 2.1\nName: of-these-tests\nVersion: 0\n")
    (declared / "entry_points.txt").write_text(_INSTALLED)
    return folder / "bin" / "python"


def device_command(address: str, token_file: Path, *arguments: str) -> list[str]:
    return ["participant", "--connect", address, "--token-file", str(token_file), *arguments]


def environment() -> dict[str, str]:
    """Where a Python finds this code, and else only what is installed for it."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def launch(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment())


def device(python: Path, door: Door, *arguments: str, address: str | None = None) -> subprocess.Popen[str]:
    given = device_command(address or f"127.0.0.1:{door.port}", door.options.token_path, *arguments)
    return launch(*Interpreter(str(python)).command("ppbench.cli"), *given)


def ended(process: subprocess.Popen[str]) -> list[str]:
    """What a process said, after it has ended."""
    return process.communicate(timeout=LONGEST_S)[0].splitlines()


def remote_job(scheme: Scheme, deadline_s: float = LONGEST_S, **task: int) -> Job:
    return Job(
        scheme=scheme,
        dataset=Digits(),
        model=Mlp(),
        task=TaskOptions(**{"n_samples": 20, "batch_size": 8, **task}),
        measure=MeasureOptions(repetitions=1, deadline_s=deadline_s),
        wire="remote",
    )
