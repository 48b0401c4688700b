"""What a stage costs one party: CPU, wall time and peak memory, read from the kernel; instructions, if counted."""

from __future__ import annotations

import contextlib
import dataclasses
import resource
import sys
import time
from pathlib import Path

from ppbench.instructions.counter import Counter

_PROCESSES = Path("/proc")
_CLEAR_REFS = _PROCESSES / "self" / "clear_refs"


@dataclasses.dataclass(frozen=True)
class Cost:
    """CPU and wall seconds between start and stop, and the peak resident memory since start."""

    cpu_s: float
    wall_s: float
    peak_rss_bytes: int
    start_rss_bytes: int
    """Resident memory at the start, of the process."""
    instructions: int | None = None
    """Executed since start in user space; None where nobody counts them, or not all of them."""


class Meter:
    """Counts from `start` on; `read` may be called again and again.

    A party that shares its process with others (`own_process` false) is charged its thread's CPU time, and its
    peak memory is the process's. Instructions are counted of whole processes alone, where there is a `counter`.
    """

    def __init__(self, own_process: bool, counter: Counter | None = None) -> None:
        self._own_process = own_process
        self._counter = counter
        self.start()

    def start(self) -> None:
        """Begin anew."""
        if self._own_process:
            reset_peak_rss()
        self._start_rss_bytes = rss_bytes()
        self._cpu_s = self._cpu_now_s()
        self._wall_s = time.perf_counter()
        if self._counter:
            self._counter.start()

    def elapsed(self) -> tuple[float, float]:
        """CPU and wall seconds since `start`; of a thread's CPU, only the thread that started can tell."""
        return self._cpu_now_s() - self._cpu_s, time.perf_counter() - self._wall_s

    def read(self) -> Cost:
        """The cost since `start`; see `elapsed`."""
        instructions = self._counter.elapsed() if self._counter else None
        cpu_s, wall_s = self.elapsed()
        return Cost(
            cpu_s=cpu_s,
            wall_s=wall_s,
            peak_rss_bytes=peak_rss_bytes(),
            start_rss_bytes=self._start_rss_bytes,
            instructions=instructions,
        )

    def _cpu_now_s(self) -> float:
        if not self._own_process:
            return time.thread_time()
        return process_cpu_s()


def process_cpu_s() -> float:
    """CPU time of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def reset_peak_rss() -> None:
    """Let the kernel forget the peak so far, where it can; elsewhere the peak is that since the process began."""
    with contextlib.suppress(OSError):
        _CLEAR_REFS.write_text("5")


def rss_bytes() -> int:
    """The process's resident memory now; where the kernel does not tell, its peak so far."""
    return status_bytes("VmRSS:") or peak_rss_bytes()


def peak_rss_bytes() -> int:
    """The process's peak resident memory. `ru_maxrss` would include the parent's, inherited at the fork."""
    if known := status_bytes("VmHWM:"):
        return known
    in_bytes = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * in_bytes


def status_bytes(key: str, pid: int | None = None) -> int | None:
    """What `/proc/PID/status` has under a key, of this process by default; None where the kernel does not tell."""
    with contextlib.suppress(OSError):
        for line in (_PROCESSES / str(pid or "self") / "status").read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1]) * 1024
    return None
