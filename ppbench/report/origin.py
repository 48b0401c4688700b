"""Which code made the jobs of a table, and on which machine, in one line."""

from __future__ import annotations

from collections.abc import Iterable

from ppbench.records import JobRecord, Provenance

_COMMIT_LETTERS = 7
_GIB = 2**30


def origin(jobs: Iterable[JobRecord]) -> str:
    """Where all of them come from; several places are all named."""
    places: dict[str, dict[str, None]] = {}
    for job in jobs:
        places.setdefault(_machine(job.provenance), {})[_code(job.provenance)] = None
    told = [f"{' and '.join(codes)} on {machine}" for machine, codes in places.items()]
    return f"Measured by {'; by '.join(told)}." if told else ""


def _code(made: Provenance) -> str:
    if made.git_commit is None:
        return f"ppbench {made.ppbench_version}"
    # A "+" behind the commit says that the code was changed.
    changed = "+" if made.git_commit.endswith("+") else ""
    return f"ppbench {made.ppbench_version} at commit {made.git_commit[:_COMMIT_LETTERS]}{changed}"


def _machine(made: Provenance) -> str:
    memory = "" if made.memory_bytes is None else f", {made.memory_bytes / _GIB:.0f} GiB"
    # Without what a distribution appends to its kernel's version.
    platform = " ".join(word.partition("-")[0] for word in made.platform.split())
    return f"{made.cpu}, {made.n_cpus} cores{memory}, {platform}, Python {made.python_version}"
