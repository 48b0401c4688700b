"""Where a command keeps its results: decided once, whatever starts its jobs."""

from __future__ import annotations

import contextlib
import datetime
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from ppbench.errors import PpbenchError

_PARENT = Path("results", "local")


T = TypeVar("T")


@contextlib.contextmanager
def new_results_dir(composed: Callable[[Path], T], folders: Callable[[T], Iterable[Path]]) -> Iterator[T]:
    """What is composed with a folder that no other command has, named by the time.

    `folders` are those that the composed puts results into: if they lie elsewhere, the folder is not made. What this
    makes and leaves empty goes away again. Raises PpbenchError if it cannot be made.
    """
    for folder in _names():
        made = composed(folder)
        if not any(folder in (used, *used.parents) for used in folders(made)):
            yield made
            return
        lacking = [above for above in (_PARENT, *_PARENT.parents) if not above.exists()]
        if _reserved(folder):
            break
    try:
        yield made
    finally:
        with contextlib.suppress(OSError):
            for empty in (folder, *lacking):
                empty.rmdir()


def newest() -> Path:
    """The folder that the last command without a `results_dir` made. Raises PpbenchError if there is none."""
    try:
        return max((path for path in _PARENT.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime_ns)
    except (OSError, ValueError):
        raise PpbenchError(f"there is no results folder in {_PARENT}") from None


def make(folder: Path) -> None:
    """Make a results folder unless it is there. Raises PpbenchError if it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PpbenchError(f"results_dir={folder} cannot be made: {error.strerror}") from error


def _names() -> Iterator[Path]:
    time = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for name in itertools.chain([time], (f"{time}_{n}" for n in itertools.count(2))):
        if not (_PARENT / name).exists():
            yield _PARENT / name


def _reserved(folder: Path) -> bool:
    """Make a folder; False if somebody else was faster."""
    make(_PARENT)
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    except OSError as error:
        raise PpbenchError(f"results_dir={folder} cannot be made: {error.strerror}") from error
    return True
