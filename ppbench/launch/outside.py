"""A party's process as the kernel shows it to who started it: nothing that a party does to itself bends it.

Linux alone, from `/proc` and the process's CPU clock; a process that has ended raises OSError. Descendants are those
that still have their parents: whoever lives on without one is a child of the party, which is made a subreaper
(`ppbench.launch.confine`).
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import os
import socket
import time
from collections.abc import Iterator, Set
from pathlib import Path

from ppbench.launch.reports import CountedConnection
from ppbench.meter import status_bytes
from ppbench.wire import engine

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
"""What the kernel rounds the CPU time of children to, down."""

_PROCESSES = Path("/proc")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_CHILDREN = slice(13, 15)
"""User and system time of children, in `/proc/PID/stat` behind the name."""
_SOCKET = "socket:["
_PIDFD_GETFD = 438
"""On every architecture."""
_LISTENS, _CONNECTED = "0A", "01"
_ENDED = (FileNotFoundError, ProcessLookupError)
_TABLES = ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "unix")


@dataclasses.dataclass(frozen=True)
class Socket:
    """One socket that a process holds."""

    kind: str
    """`tcp`, `udp`, `unix` and so on; `other` for what no table of the kernel has, such as one that has ended."""
    local: str = ""
    """host:port, or a path; empty for a socket without a name."""
    remote: str = ""
    """host:port, of one that is connected."""
    listens: bool = False

    def __str__(self) -> str:
        """As a reason names it."""
        ends = f"{self.local or 'unnamed'}{' to ' if self.remote else ''}{self.remote}"
        return f"{self.kind} {ends}{', listening' if self.listens else ''}"


def cpu_s(pid: int) -> float:
    """CPU seconds of a process, of those children that it has waited for, and of its living descendants."""
    return _without_living_cpu_s(pid) + descendants_cpu_s(pid)


def descendants_cpu_s(pid: int) -> float:
    """CPU seconds of the living descendants of a process, and of those children that they have waited for.

    When somebody waits for such a process, its seconds are the waiting process's, and no longer here.
    """
    spent_s = 0.0
    for child in descendants(pid):
        with contextlib.suppress(OSError, ValueError):  # ended meanwhile
            spent_s += _without_living_cpu_s(child)
    return spent_s


def _without_living_cpu_s(pid: int) -> float:
    """CPU seconds of a process and of those children that it has waited for."""
    # The name of the process may hold anything.
    fields = (_PROCESSES / str(pid) / "stat").read_text().rpartition(")")[2].split()
    of_children = sum(map(int, fields[_CHILDREN]))
    # The clock of another process, as clock_getcpuclockid(3) names it: exact, where `stat` has ticks.
    return time.clock_gettime(~pid << 3 | 2) + of_children * TICK_S


def descendants(pid: int) -> list[int]:
    """The process's children, their children, and so on."""
    found: list[int] = []
    for tasks in (_PROCESSES / str(pid) / "task").glob("*/children"):
        with contextlib.suppress(OSError):  # ended meanwhile
            for child in map(int, tasks.read_text().split()):
                found += [child, *descendants(child)]
    return found


def peak_rss_bytes(pid: int) -> int:
    """Peak resident memory of the process, since it was last reset."""
    return status_bytes("VmHWM:", pid) or 0


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and its descendants; what they share counts once for each. 0 if it has ended."""
    held = 0
    for process in (pid, *descendants(pid)):
        with contextlib.suppress(OSError, ValueError, IndexError):  # ended meanwhile
            held += int((_PROCESSES / str(process) / "statm").read_text().split()[1]) * _PAGE_BYTES
    return held


def socket_names(pid: int) -> set[int]:
    """The inodes of all sockets that a process and its descendants hold.

    Raises PermissionError where one of them does not let itself be looked at.
    """
    held = set(_held(pid))
    for child in descendants(pid):
        with contextlib.suppress(*_ENDED):
            held |= set(_held(child))
    return held


def payload(pid: int) -> list[CountedConnection]:
    """What the kernel has counted of each TCP connection that a process and its descendants hold, once each.

    Raises OSError where the kernel hands out no sockets of another process: it takes the right to trace it, and Linux
    5.6.
    """
    counted: dict[int, CountedConnection] = {}
    for process in (pid, *descendants(pid)):
        handle = os.pidfd_open(process)
        try:
            for inode, descriptor in _held(process).items():
                if inode not in counted and (found := _counted(handle, descriptor)):
                    counted[inode] = found
        finally:
            os.close(handle)
    return list(counted.values())


def _counted(process: int, descriptor: int) -> CountedConnection | None:
    libc = ctypes.CDLL(None, use_errno=True)
    ours = libc.syscall(_PIDFD_GETFD, *map(ctypes.c_int, (process, descriptor, 0)))
    if ours < 0:
        number = ctypes.get_errno()
        if number == errno.EBADF:
            return None  # closed meanwhile
        raise OSError(number, f"pidfd_getfd: {os.strerror(number)}")
    with socket.socket(fileno=ours) as sock:
        told = engine.payload_of(sock)
    return told and CountedConnection(**told)


def _held(pid: int) -> dict[int, int]:
    """The inode of each socket that a process holds -> a descriptor of it."""
    held = {}
    for link in (_PROCESSES / str(pid) / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            target = os.readlink(link)
            if target.startswith(_SOCKET):
                held[int(target[len(_SOCKET) : -1])] = int(link.name)
    return held


def sockets(pid: int, inodes: Set[int]) -> list[Socket]:
    """What these sockets are, in the network namespaces that the process's threads are in."""
    known: dict[int, Socket] = {}
    for task in (_PROCESSES / str(pid) / "task").iterdir():
        if inodes <= known.keys():
            break
        with contextlib.suppress(OSError):
            for table in _TABLES:
                known |= dict(_listed(task / "net" / table))
    return [known.get(inode, Socket("other")) for inode in sorted(inodes)]


def _listed(table: Path) -> Iterator[tuple[int, Socket]]:
    lines = table.read_text(errors="replace").splitlines()[1:]
    for line in lines:
        fields = line.split()
        if table.name == "unix":
            yield int(fields[6]), Socket("unix", fields[7] if len(fields) > 7 else "")
        else:
            listens = table.name.startswith("tcp") and fields[3] == _LISTENS
            remote = "" if int(fields[2].rpartition(":")[2], 16) == 0 else _address(fields[2])
            yield int(fields[9]), Socket(table.name.rstrip("6"), _address(fields[1]), remote, listens)


def _address(text: str) -> str:
    """host:port of what the tables have in hexadecimal, each 32 bits of the address in the machine's order."""
    host, _, port = text.partition(":")
    words = [bytes.fromhex(host[i : i + 8])[::-1] for i in range(0, len(host), 8)]
    packed = b"".join(words)
    if len(packed) == 4:
        name = socket.inet_ntop(socket.AF_INET, packed)
    else:
        name = socket.inet_ntop(socket.AF_INET6, packed).removeprefix("::ffff:")
    return f"{name}:{int(port, 16)}"
