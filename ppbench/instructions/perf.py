"""The processor's own count of instructions in user space, by perf_event_open(2): the C library does not wrap it."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import struct
import sys
from pathlib import Path
from typing import ClassVar, NamedTuple

from ppbench.errors import PpbenchError
from ppbench.instructions.counter import Counter

_SYSCALL = {"x86_64": 298, "aarch64": 241}
_ATTRIBUTES_BYTES = 112
"""`struct perf_event_attr` up to version 5, which has all that is used here."""
_FLAGS_AT = 40
# Pinned: it counts all the time or says that it did not, and never takes turns with others.
_INHERIT, _PINNED, _EXCLUDE_KERNEL, _EXCLUDE_HYPERVISOR = 1 << 1, 1 << 2, 1 << 5, 1 << 6
_CLOSE_ON_EXEC = 1 << 3
_TASKS = Path("/proc/self/task")
_REMEDY = ": as root, sysctl kernel.perf_event_paranoid=2 lets users count"


class Event(NamedTuple):
    """What is counted, as the kernel numbers it."""

    kind: int
    config: int


INSTRUCTIONS = Event(0, 1)
"""PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS."""


class Perf(Counter):
    """Of this process, and of all that it starts from now on."""

    name: ClassVar[str] = "perf"

    def __init__(self, event: Event = INSTRUCTIONS) -> None:
        """Raises OSError where the kernel does not count it."""
        # A counter is one thread's, and of those that this thread starts; libraries may have started some already.
        self._descriptors = [_opened(event, int(task.name)) for task in _TASKS.iterdir()]
        self.start()

    @classmethod
    def why_not(cls) -> str | None:
        """See `Counter.why_not`."""
        if not sys.platform.startswith("linux") or platform.machine() not in _SYSCALL:
            return f"measure.instructions={cls.name} needs Linux on {' or '.join(_SYSCALL)}"
        try:
            os.close(_opened(INSTRUCTIONS, 0))
        except OSError as error:
            remedy = _REMEDY if error.errno in (errno.EACCES, errno.EPERM) else ", as in most virtual machines"
            return f"measure.instructions={cls.name}: no counter of instructions here ({error.strerror}){remedy}"
        return None

    def start(self) -> None:
        """See `Counter.start`."""
        self._started_at = self._now()

    def elapsed(self) -> int:
        """See `Counter.elapsed`; raises PpbenchError if somebody else has taken the counter."""
        return self._now() - self._started_at

    def __del__(self) -> None:
        for descriptor in getattr(self, "_descriptors", ()):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _now(self) -> int:
        return sum(map(_read, self._descriptors))


def _opened(event: Event, thread: int) -> int:
    attributes = bytearray(_ATTRIBUTES_BYTES)
    struct.pack_into("=IIQ", attributes, 0, event.kind, _ATTRIBUTES_BYTES, event.config)
    struct.pack_into("=Q", attributes, _FLAGS_AT, _INHERIT | _PINNED | _EXCLUDE_KERNEL | _EXCLUDE_HYPERVISOR)
    libc = ctypes.CDLL(None, use_errno=True)
    everywhere, no_group = ctypes.c_int(-1), ctypes.c_int(-1)
    buffer = (ctypes.c_char * len(attributes)).from_buffer(attributes)
    descriptor: int = libc.syscall(
        ctypes.c_long(_SYSCALL[platform.machine()]),
        buffer,
        ctypes.c_int(thread),
        everywhere,
        no_group,
        ctypes.c_ulong(_CLOSE_ON_EXEC),
    )
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return descriptor


def _read(descriptor: int) -> int:
    if len(count := os.read(descriptor, 8)) < 8:
        raise PpbenchError("the counter of instructions was taken away: something else on this machine has pinned it")
    return int.from_bytes(count, sys.byteorder)
