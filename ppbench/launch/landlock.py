"""Landlock, as landlock(7) describes it: a process gives up all access to files but to those that it names.

It takes no privilege, cannot be undone, and holds for the calling thread and all that it starts from then on. The
C library wraps none of it. Standard library alone, for any Python from 3.11 on.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import os
import sys
from pathlib import Path

# The numbers are the same on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_SET_NO_NEW_PRIVS = 38


class Access(enum.IntFlag):
    """What may be done to a file, and what to a directory and to all beneath it."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


_OF_FILES = Access.EXECUTE | Access.WRITE_FILE | Access.READ_FILE | Access.TRUNCATE | Access.IOCTL_DEV
_SINCE = {Access.REFER: 2, Access.TRUNCATE: 3, Access.IOCTL_DEV: 5}
"""Which version of the interface knows it, where not the first does."""
_SCOPES_SINCE = 6
_ABSTRACT_UNIX_SOCKETS, _SIGNALS = 1 << 0, 1 << 1


class _RulesetAttr(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneathAttr(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def abi() -> int:
    """The version of the interface; 0 where there is none, or where it was switched off at boot."""
    if not sys.platform.startswith("linux"):
        return 0
    with contextlib.suppress(OSError):
        return _syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_CREATE_RULESET_VERSION))
    return 0


class Ruleset:
    """All access to files is forbidden but what is allowed here, once `restrict` is called.

    From version 6 on the process also reaches no abstract UNIX socket and signals no process but its own and those it
    starts. Raises OSError where there is no Landlock.
    """

    def __init__(self) -> None:
        self._abi = abi()
        # A right that the kernel does not know cannot be forbidden, nor allowed.
        self._handled = Access(0)
        for right in Access:
            if self._abi >= _SINCE.get(right, 1):
                self._handled |= right
        scoped = _ABSTRACT_UNIX_SOCKETS | _SIGNALS if self._abi >= _SCOPES_SINCE else 0
        attributes = _RulesetAttr(self._handled, 0, scoped)
        self._descriptor = _syscall(
            _CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(ctypes.sizeof(attributes)), ctypes.c_uint32(0)
        )

    def allow(self, path: str | Path, access: Access) -> None:
        """Allow this of a file, or of a directory and all beneath it; what cannot be reached anyhow needs no rule."""
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        try:
            self.allow_open(descriptor, access if os.path.isdir(path) else access & _OF_FILES)
        finally:
            os.close(descriptor)

    def allow_open(self, descriptor: int, access: Access) -> None:
        """The same of what a descriptor is open on."""
        rule = _PathBeneathAttr(access & self._handled, descriptor)
        if rule.allowed_access:
            _syscall(
                _ADD_RULE,
                ctypes.c_int(self._descriptor),
                ctypes.c_int(_RULE_PATH_BENEATH),
                ctypes.byref(rule),
                ctypes.c_uint32(0),
            )

    def restrict(self) -> None:
        """From here on, only what was allowed."""
        no_new_privileges()
        _syscall(_RESTRICT_SELF, ctypes.c_int(self._descriptor), ctypes.c_uint32(0))
        os.close(self._descriptor)


def no_new_privileges() -> None:
    """Gain none by executing a program: what the kernel asks of who restricts itself without being privileged."""
    if _libc().prctl(_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))) != 0:
        raise _error("prctl")


def _syscall(number: int, *arguments: object) -> int:
    result: int = _libc().syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise _error(f"system call {number}")
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
