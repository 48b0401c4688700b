"""Seccomp, as seccomp(2) describes it: system calls that a process, and all that it starts, can no longer make.

It takes no privilege and cannot be undone. Standard library alone, for any Python from 3.11 on.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
from collections.abc import Collection, Mapping
from typing import NamedTuple

LEAVE_SESSION = ("setsid", "setpgid")
"""By these a process would leave the session and the group in which it is found, charged and ended."""
OPEN_SOCKETS = ("socket", "io_uring_setup")
"""By these a process would get another socket to speak to strangers; a pair of them leads nowhere else."""
SHARE_WITH_STRANGERS = ("shmget", "msgget", "semget", "mq_open", "add_key", "request_key", "keyctl")
"""By these processes that have nothing else in common share memory, messages and keys."""


class _Architecture(NamedTuple):
    """How the kernel numbers its system calls."""

    audit: int
    """`AUDIT_ARCH_*`."""
    seccomp: int
    numbers: Mapping[str, int]


def _numbered(*numbers: int) -> dict[str, int]:
    return dict(zip((*LEAVE_SESSION, *SHARE_WITH_STRANGERS, *OPEN_SOCKETS), numbers, strict=True))


_ARCHITECTURES = {
    "x86_64": _Architecture(0xC000003E, 317, _numbered(112, 109, 29, 68, 64, 240, 248, 249, 250, 41, 425)),
    "aarch64": _Architecture(0xC00000B7, 277, _numbered(157, 154, 194, 186, 190, 180, 217, 218, 219, 198, 425)),
}
_X32 = 0x40000000
"""From here on x86-64 has its system calls a second time."""

_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2
# Without it some kernels slow all that the process computes, as if it had to be kept from guessing at its own memory.
_SPEC_ALLOW = 1 << 2
_ALL_THREADS = 1 << 0
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4
"""Offsets in `struct seccomp_data`."""
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06


class _Instruction(ctypes.Structure):
    """`struct sock_filter`: an instruction of the classic Berkeley Packet Filter."""

    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_uint16), ("filter", ctypes.POINTER(_Instruction)))


def available() -> bool:
    """Whether the kernel filters system calls, on an architecture whose numbers are known here."""
    if not sys.platform.startswith("linux") or platform.machine() not in _ARCHITECTURES:
        return False
    return _seccomp(_GET_ACTION_AVAIL, 0, ctypes.byref(ctypes.c_uint32(_ERRNO))) == 0


def forbid(names: Collection[str]) -> None:
    """Have these system calls refused with EPERM, in all threads of the process, and of all that they start.

    The process must have given up new privileges. Raises OSError.
    """
    architecture = _ARCHITECTURES[platform.machine()]
    numbers = [architecture.numbers[name] for name in names]
    # Another architecture's calls, which a processor may offer beside its own, have other numbers: all are refused.
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_IF_EQUAL, 0, len(numbers) + 3, architecture.audit),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_IF_AT_LEAST, len(numbers) + 1, 0, _X32),
        *((_JUMP_IF_EQUAL, len(numbers) - i, 0, number) for i, number in enumerate(numbers)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
    ]
    instructions = (_Instruction * len(program))(*(_Instruction(*fields) for fields in program))
    flags = _SPEC_ALLOW | _ALL_THREADS
    if (status := _seccomp(_SET_MODE_FILTER, flags, ctypes.byref(_Program(len(program), instructions)))) != 0:
        number = ctypes.get_errno() if status < 0 else errno.EBUSY  # that is the thread which has other filters
        raise OSError(number, f"seccomp: {os.strerror(number)}")


def _seccomp(operation: int, flags: int, arguments: object) -> int:
    number = _ARCHITECTURES[platform.machine()].seccomp
    libc = ctypes.CDLL(None, use_errno=True)
    status: int = libc.syscall(ctypes.c_long(number), ctypes.c_uint(operation), ctypes.c_uint(flags), arguments)
    return status
