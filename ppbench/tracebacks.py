"""The traceback of what nobody foresaw, in a file beside the record whose reason names it."""

from __future__ import annotations

from pathlib import Path

from ppbench.bundle import write_atomically


def keep(printed: str, log_dir: Path, name: str) -> str:
    """Write what was printed to a file in a job's folder of logs; returns what the job's reason is to end with.

    The path is told from the results folder, which may be moved: it is two folders above the logs.
    """
    path = log_dir / name
    write_atomically(path, printed.encode())
    return f"; traceback in {path.relative_to(log_dir.parent.parent)}"
