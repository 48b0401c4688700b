"""Two versions of ppbench, or of what is installed, measured by turns, A B A B: what drifts meets both alike."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import ppbench
from ppbench.errors import PpbenchError
from ppbench.records import JobRecord
from ppbench.store import read_all

_TREE = Path(ppbench.__file__).resolve().parent.parent


def measured_in_turn(other: str, overrides: Sequence[str], n_processes: int) -> tuple[list[JobRecord], list[JobRecord]]:
    """The jobs that `ppbench run -m OVERRIDE...` makes, by the other version and by this one.

    `other` is a Python in whose environment ppbench is installed, or a revision of the checkout that this one runs
    from. Each side has as many fresh sets of processes, all of one job. Raises PpbenchError if a side measures nothing.
    """
    sides: tuple[list[JobRecord], list[JobRecord]] = ([], [])
    with _command_of(other) as its_command, tempfile.TemporaryDirectory(prefix="ppbench-in-turn-") as folder:
        ours: tuple[list[str], dict[str, str]] = ([sys.executable, "-m", "ppbench"], {})
        for process in range(n_processes):
            for side, (command, environment) in enumerate((its_command, ours)):
                results_dir = Path(folder) / str(side) / str(process)
                arguments = ["run", "-m", *overrides, "measure.processes=1", f"results_dir={results_dir}"]
                _run([*command, *arguments], environment)
                sides[side].extend(read_all(results_dir))
    return together(sides[0]), together(sides[1])


def _run(command: Sequence[str], environment: dict[str, str]) -> None:
    ended = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, cwd="/")
    # A job that fails is a record that says so, and a status of 1.
    if ended.returncode not in (0, 1):
        told = (ended.stderr or ended.stdout).strip().splitlines() or [f"it ended with status {ended.returncode}"]
        raise PpbenchError(f"{' '.join(command)}: {told[-1]}")


@contextlib.contextmanager
def _command_of(other: str) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Its command, and what its environment has beside ours. Raises PpbenchError if it is no version."""
    path = Path(other)
    python = next((at for at in (path, path / "bin" / "python") if at.is_file() and os.access(at, os.X_OK)), None)
    if python is not None:
        yield [str(python.absolute()), "-m", "ppbench"], {"PYTHONPATH": ""}
        return
    with tempfile.TemporaryDirectory(prefix="ppbench-revision-") as folder:
        tree = Path(folder) / "tree"
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
