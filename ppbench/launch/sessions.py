"""What the processes of a session use, read from outside: a party's own and all that it started and that yet lives."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from ppbench.launch import outside

_PROC = Path("/proc")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def children_cpu_s(leaders: Collection[int]) -> dict[int, float]:
    """Leader -> CPU seconds that others in its session have used, with children of theirs that were waited for.

    When somebody waits for such a process, its seconds are the waiting process's, and no longer here.
    """
    used = dict.fromkeys(leaders, 0.0)
    for leader, pid in _members(leaders):
        if pid != leader:
            with contextlib.suppress(OSError, ValueError):
                used[leader] += outside.without_living_cpu_s(pid)
    return used


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
