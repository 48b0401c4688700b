"""Processes that ppbench starts: with what environment, and how they end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def n_cpus() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def module_command(module: str) -> list[str]:
    """To run a module; without -P, a folder `schemes` where the user happens to be would come before ours."""
    return [sys.executable, "-P", "-m", module]


def environment(threads: int) -> dict[str, str]:
    """For a child that computes with so many threads and finds the modules that this process finds."""
    return {
        **os.environ,
        **{variable: str(threads) for variable in _THREAD_VARIABLES},
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
    }


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """Kill a child that leads a session, and whatever it started; SIGKILL ends a stopped process too."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def die_with_parent() -> None:
    """On Linux, be killed when the parent dies, however it dies and even while stopped."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
