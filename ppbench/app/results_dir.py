"""Where a command keeps its results: decided once, whatever starts its jobs."""

from __future__ import annotations

import contextlib
import datetime
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from ppbench.errors import PpbenchError

_PARENT = Path("results", "local")


@contextlib.contextmanager
def new_results_dir(overrides: Sequence[str] = ()) -> Iterator[Path]:
    """A folder that no other command has, named by the time; what this makes and leaves empty goes away again.

    Of overrides that name a results folder nothing is made. Raises PpbenchError if it cannot be.
    """
    time = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    if any(override.startswith("results_dir=") for override in overrides):
        yield _PARENT / time
        return
    lacking = [folder for folder in (_PARENT, *_PARENT.parents) if not folder.exists()]
    folder = _reserved(time)
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            for made in (folder, *lacking):
                made.rmdir()


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


def _reserved(time: str) -> Path:
    make(_PARENT)
    for name in itertools.chain([time], (f"{time}_{n}" for n in itertools.count(2))):
        try:
            (_PARENT / name).mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise PpbenchError(f"results_dir={_PARENT / name} cannot be made: {error.strerror}") from error
        return _PARENT / name
    raise AssertionError("there is always a next number")
