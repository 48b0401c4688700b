"""Processes that ppbench starts: with what environment, and how they end."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ppbench.errors import UnavailableError

_PARENT = "PPBENCH_PARENT"
"""In a child's environment: the process that started it, and that it must not outlive."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""What libraries read, as they are loaded, to know with how many threads they are to compute."""


def n_cpus() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def module_command(module: str) -> list[str]:
    """To run a module with the Python that runs this."""
    return Interpreter().command(module)


def environment(threads: int) -> dict[str, str]:
    """For a child that computes with so many threads and finds the modules that this process finds."""
    return {
        **os.environ,
        **{variable: str(threads) for variable in THREAD_VARIABLES},
        _PARENT: str(os.getpid()),
        "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
    }


@dataclasses.dataclass(frozen=True)
class Interpreter:
    """The Python that the parties of a scheme run in: this one, or that of an environment with other versions."""

    path: str = sys.executable
    packages: tuple[str, ...] = ()
    """Top-level packages, besides ppbench, that an environment of its own borrows from this one."""

    @contextlib.contextmanager
    def surroundings(self, threads: int) -> Iterator[dict[str, str]]:
        """Inside, a child with these environment variables finds ppbench.

        In an environment of its own it finds nothing else of ours: a folder of links stands for the packages, because
        the folder they are in may hold a whole installation.
        """
        own = environment(threads)
        if self.path == sys.executable:
            yield own
            return
        with temporary_folder("packages") as folder:
            for package in {"ppbench", *self.packages}:
                found = importlib.util.find_spec(package)
                if found is None or not found.submodule_search_locations:
                    raise UnavailableError(f"the package {package} cannot be lent to {self.path}: it has no folder")
                (folder / package).symlink_to(Path(found.submodule_search_locations[0]).resolve())
            yield {**own, "PYTHONPATH": str(folder)}

    def command(self, module: str) -> list[str]:
        """To run a module; without -P, a folder `schemes` where the user happens to be would come before ours."""
        return [self.path, "-P", "-m", module]


def start_session(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a child that leads a session of its own, with what `subprocess.Popen` takes.

    `kill_session` ends it with all that it started there; so does this process's own end, even by SIGKILL.
    """
    process = subprocess.Popen(command, start_new_session=True, **options)
    _keeper.tell(f"+{process.pid}")
    return process


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """Kill a child that leads a session, and whatever it started; SIGKILL ends a stopped process too."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _keeper.tell(f"-{process.pid}")


@contextlib.contextmanager
def temporary_folder(purpose: str) -> Iterator[Path]:
    """Inside, there is a folder `ppbench-PURPOSE-...` for temporary files; it goes with this process too, even by
    SIGKILL.
    """
    with tempfile.TemporaryDirectory(prefix=f"ppbench-{purpose}-") as folder:
        _keeper.tell(f"+{folder}")
        try:
            yield Path(folder)
        finally:
            _keeper.tell(f"-{folder}")


def ending(status: int) -> str:
    """How a child with this status ended, in words."""
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exited with status {status}"


def die_with_parent() -> None:
    """On Linux, be killed when the parent dies, however it dies and even while stopped; or now, if it is dead."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    parent = os.environ.get(_PARENT)
    # The kernel says nothing of a parent that had died before it was asked.
    if parent is not None and os.getppid() != int(parent):
        os._exit(1)


class _Keeper:
    """The process that outlives this one for as long as it takes to end its sessions and remove its folders."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._serves = 0

    def tell(self, line: str) -> None:
        """Tell it of a session or a folder; the first word starts it."""
        with self._lock:
            if self._process is None or self._serves != os.getpid():
                self._process, self._serves = self._start(), os.getpid()
            assert self._process.stdin is not None
            with contextlib.suppress(OSError):  # somebody has killed it
                self._process.stdin.write(os.fsencode(f"{line}\n"))

    def _start(self) -> subprocess.Popen[bytes]:
        program = Path(__file__).with_name("keeper.py")
        # In a session and with an environment of its own: what ends a run, or looks for what is left, passes it by.
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
            bufsize=0,
            start_new_session=True,
        )


_keeper = _Keeper()
