"""The traceback of what nobody foresaw, in a file beside the record whose reason names it."""

from __future__ import annotations

import traceback
from pathlib import Path

from ppbench.bundle import write_atomically


def keep(told: str | BaseException, log_dir: Path, name: str) -> str:
    """Write an error's traceback, or what was printed of one, to a file in a job's folder of logs.

    Returns what the job's reason is to end with. The path is told from the results folder, which may be moved: it is
    two folders above the logs.
    """
    path = log_dir / name
    printed = told if isinstance(told, str) else "".join(traceback.format_exception(told))
    write_atomically(path, printed.encode(errors="backslashreplace"))
    return f"; traceback in {path.relative_to(log_dir.parent.parent)}"
