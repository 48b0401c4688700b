"""What machine, which versions, which code: so that a figure can be traced to what made it."""

from __future__ import annotations

import datetime
import functools
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import ppbench
from ppbench.launch.wires import WIRES
from ppbench.measure.job import Job
from ppbench.measure.machine import cpu, memory_bytes, system
from ppbench.plugin import distribution
from ppbench.process import n_cpus
from ppbench.records import Provenance

_ALWAYS = ("numpy", "torch", "hydra-core", "omegaconf", "pandas", "pydantic")


def provenance(job: Job) -> Provenance:
    """Of a job that starts now; the data's hash and route are filled in when they are known."""
    required = [need for plugin in (job.scheme, job.dataset, job.model) for need in plugin.requires.values()]
    counted_by = job.measure.counter.versions() if job.measure.counter else {}
    return Provenance(
        started_at=datetime.datetime.now(datetime.UTC),
        command=[Path(sys.argv[0]).name, *sys.argv[1:]],
        ppbench_version=ppbench.__version__,
        git_commit=git_commit(),
        python_version=platform.python_version(),
        package_versions={**package_versions(*_ALWAYS, *(distribution(need) for need in required)), **counted_by},
        platform=system(),
        cpu=cpu(),
        n_cpus=n_cpus(),
        memory_bytes=memory_bytes(),
        config_hash=job.id,
        data_sha256=None,
        data_route=None,
        confinement=WIRES.load(job.wire).confinement(),
    )


def package_versions(*names: str) -> dict[str, str]:
    """Versions of the distributions that are installed."""
    return {name: found for name in names if (found := _version(name))}


@functools.cache
def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def git_commit() -> str | None:
    """The commit of the checkout this code runs from, "+" appended if it was changed; None outside a checkout."""
    top = Path(ppbench.__file__).resolve().parent.parent
    if not (top / ".git").exists():
        return None
    try:
        commit = _git(top, "rev-parse", "HEAD")
        return commit + ("+" if _git(top, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
