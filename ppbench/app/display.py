"""What a person sees while jobs run: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from types import TracebackType
from typing import Protocol

from ppbench.errors import PpbenchError, message, one_line

DEBUG = "PPBENCH_DEBUG"
"""The environment variable that `--debug` sets, so that the processes of a launcher know of it too."""
_LINE_EVERY_S = 10.0


class Display(Protocol):
    """A listener to progress that also knows of jobs."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """See `ppbench.progress.Progress`."""

    def expect(self, n_jobs: int) -> None:
        """So many jobs will be run."""

    def finished(self, line: str) -> None:
        """One job has ended; the line says how."""

    def note(self, line: str) -> None:
        """Something worth a line that is no job."""

    def __enter__(self) -> Display:
        """Begin to show."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""


class Bars:
    """One bar for each thing in progress, and one for the jobs."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._bars = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._tasks: dict[str, int] = {}
        self._lock = threading.Lock()
        self._jobs: int | None = None

    def __enter__(self) -> Bars:
        """Begin to draw."""
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bars as they stand."""
        self._bars.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Draw the bar of `what`; one that is full goes away."""
        with self._lock:
            if what not in self._tasks:
                self._tasks[what] = self._bars.add_task(what, total=total)
            self._bars.update(self._tasks[what], completed=done, total=total)  # type: ignore[arg-type]
            if done >= total:
                self._bars.remove_task(self._tasks.pop(what))  # type: ignore[arg-type]

    def expect(self, n_jobs: int) -> None:
        """Draw the bar of the jobs."""
        with self._lock:
            self._jobs = self._bars.add_task("jobs", total=n_jobs)

    def note(self, line: str) -> None:
        """Print above the bars."""
        with self._lock:
            self._bars.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def finished(self, line: str) -> None:
        """Print above the bars, and advance that of the jobs."""
        self.note(line)
        with self._lock:
            if self._jobs is not None:
                self._bars.advance(self._jobs)  # type: ignore[arg-type]


class Lines:
    """A line when something begins, ends, or has gone on for a while."""

    def __init__(self) -> None:
        self._last_s: dict[str, float] = {}
        self._lock = threading.Lock()
        self._n_jobs = self._n_finished = 0

    def __enter__(self) -> Lines:
        """Nothing to begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to end."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """A line at the start, at the end, and every ten seconds between."""
        with self._lock:
            now = time.monotonic()
            last = self._last_s.get(what)
            if last is None or done >= total or now - last >= _LINE_EVERY_S:
                self._last_s[what] = now
                print(f"{what}: {done}/{total}", flush=True)
            if done >= total:
                self._last_s.pop(what, None)

    def expect(self, n_jobs: int) -> None:
        """Say how many."""
        self._n_jobs = n_jobs
        print(f"{n_jobs} jobs", flush=True)

    def finished(self, line: str) -> None:
        """Say how it ended."""
        self._n_finished += 1
        counted = f"[{self._n_finished}/{self._n_jobs}] " if self._n_jobs else ""
        self.note(counted + line)

    def note(self, line: str) -> None:
        """Print it."""
        print(line, flush=True)


class Quiet:
    """For Python callers: nothing is shown."""

    def __enter__(self) -> Quiet:
        """Nothing to begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to end."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Not shown."""

    def expect(self, n_jobs: int) -> None:
        """Not shown."""

    def finished(self, line: str) -> None:
        """Not shown."""

    def note(self, line: str) -> None:
        """Not shown."""


_current: Display = Lines()


def current_display() -> Display:
    """The display that `show` chose, or lines; a launcher that Hydra makes has no other way to it."""
    return _current


def show() -> Display:
    """Choose bars where standard output is a terminal, lines elsewhere, for all that follows."""
    global _current
    _current = Bars() if sys.stdout.isatty() else Lines()
    return _current


def complain(error: BaseException) -> None:
    """One line on standard error; with PPBENCH_DEBUG in the environment, the traceback before it."""
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    print(f"ppbench: {_line(error)}", file=sys.stderr, flush=True)


def _line(error: BaseException) -> str:
    text = one_line(message(error))
    if isinstance(error, PpbenchError):
        return text
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {text} (not expected; --debug shows where)"
