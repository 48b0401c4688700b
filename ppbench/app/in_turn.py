"""Two versions of ppbench, or of what is installed, measured by turns, A B A B: what drifts meets both alike."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import ppbench
from ppbench.errors import ConfigError, PpbenchError
from ppbench.process import temporary_folder
from ppbench.records import JobRecord
from ppbench.store import read_all

_THIS = "this version"
_DECIDED_HERE = {
    "results_dir": "what is measured for a comparison by turns is kept nowhere",
    "measure.processes": "--processes says how many there are of each",
}
"""Override that no job of a comparison takes -> why."""
_TREE = Path(ppbench.__file__).resolve().parent.parent


def measured_in_turn(other: str, overrides: Sequence[str], n_processes: int) -> tuple[list[JobRecord], list[JobRecord]]:
    """The jobs that `ppbench run -m OVERRIDE...` makes, by the other version and by this one.

    `other` is a Python in whose environment ppbench is installed, or a revision of the checkout that this one runs
    from. Each side has as many fresh sets of processes, all of one job. Raises PpbenchError if a side measures nothing.
    """
    for override in overrides:
        if (key := override.lstrip("+~").partition("=")[0]) in _DECIDED_HERE:
            raise ConfigError(f"{override}: {_DECIDED_HERE[key]}")
    sides: tuple[list[JobRecord], list[JobRecord]] = ([], [])
    with _command_of(other) as its_command, temporary_folder("in-turn") as folder:
        ours: tuple[list[str], dict[str, str]] = ([sys.executable, "-m", "ppbench"], {})
        for process in range(n_processes):
            for side, (command, environment) in enumerate((its_command, ours)):
                results_dir = folder / str(side) / str(process)
                arguments = ["run", "-m", *overrides, "measure.processes=1", f"results_dir={results_dir}"]
                told = _run([*command, *arguments], environment)
                if not results_dir.is_dir():
                    raise PpbenchError(f"{(other, _THIS)[side]} measures nothing: {told}")
                sides[side].extend(read_all(results_dir))
    return together(sides[0]), together(sides[1])


def _run(command: Sequence[str], environment: dict[str, str]) -> str:
    """The last line of what it said. A job that fails is a record that says so."""
    ended = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, cwd="/")
    told = (ended.stderr or ended.stdout).strip().splitlines() or [f"it ended with status {ended.returncode}"]
    return told[-1].removeprefix("ppbench: ")


@contextlib.contextmanager
def _command_of(other: str) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Its command, and what its environment has beside ours. Raises PpbenchError if it is no version."""
    path = Path(other)
    python = next((at for at in (path, path / "bin" / "python") if at.is_file() and os.access(at, os.X_OK)), None)
    if python is not None:
        yield [str(python.absolute()), "-m", "ppbench"], {"PYTHONPATH": ""}
        return
    with temporary_folder("revision") as folder:
        tree = folder / "tree"
        _git("worktree", "add", "--quiet", "--detach", str(tree), other)
        try:
            yield [sys.executable, "-m", "ppbench"], {"PYTHONPATH": str(tree)}
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _git(*arguments: str) -> None:
    ended = subprocess.run(["git", "-C", str(_TREE), *arguments], capture_output=True, text=True)
    if ended.returncode:
        told = (ended.stderr.strip().splitlines() or ["git failed"])[-1]
        raise PpbenchError(f"neither a Python nor a revision of {_TREE}: {arguments[-1]} ({told})")


def together(jobs: Sequence[JobRecord]) -> list[JobRecord]:
    """One job for all that were the same, each a set of processes of it; one that failed stands for all of its kind."""
    by_id: dict[str, list[JobRecord]] = {}
    for job in jobs:
        by_id.setdefault(job.id, []).append(job)
    return [_one(alike) for alike in by_id.values()]


def _one(alike: Sequence[JobRecord]) -> JobRecord:
    failed = next((job for job in alike if job.status != "ok"), None)
    if failed is not None:
        return failed
    records = [record for record in alike[0].records if record.process is None]
    for process, job in enumerate(alike):
        records += [
            dataclasses.replace(record, process=process) for record in job.records if record.process is not None
        ]
    return alike[0].model_copy(update={"records": records})
