"""What the processes of a session use, read from outside: a party's own and all that it started and that yet lives."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path

_PROC = Path("/proc")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/stat behind the name, which may hold anything: proc(5) counts from 1, and two come before.
_WAITED_FOR = slice(13, 15)


def children_cpu_s(leaders: Collection[int]) -> dict[int, float]:
    """Leader -> CPU seconds that others in its session have used, with children of theirs that were waited for.

    When somebody waits for such a process, its seconds are the waiting process's, and no longer here.
    """
    used = dict.fromkeys(leaders, 0.0)
    for leader, pid in _members(leaders):
        if pid != leader:
            with contextlib.suppress(OSError, ValueError):
                used[leader] += _cpu_s(pid)
    return used


def _cpu_s(pid: int) -> float:
    """Of a process, and of its children that were waited for. Raises OSError or ValueError if it is gone."""
    waited_for = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[_WAITED_FOR]
    # clock_getcpuclockid(3), which Python has for threads alone: the clock counts finer than the ticks in /proc.
    return time.clock_gettime(~pid << 3 | 2) + sum(map(int, waited_for)) * _TICK_S


def resident_bytes(leaders: Collection[int]) -> dict[int, int]:
    """Leader -> resident memory of all processes in its session; what they share counts once for each."""
    held = dict.fromkeys(leaders, 0)
    for leader, pid in _members(leaders):
        with contextlib.suppress(OSError, ValueError, IndexError):
            held[leader] += int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE_BYTES
    return held


def _members(leaders: Collection[int]) -> Iterator[tuple[int, int]]:
    """(leader, process) for each process in one of the sessions."""
    if not _PROC.is_dir():
        return
    for name in os.listdir(_PROC):
        if name.isdecimal():
            with contextlib.suppress(OSError):
                if (leader := os.getsid(int(name))) in leaders:
                    yield leader, int(name)
