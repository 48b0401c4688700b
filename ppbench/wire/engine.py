"""Bytes of an engine that opens sockets of its own: the kernel keeps their count, whoever opened them.

The engine's connections must stay open until its role's `close`: the kernel forgets the count with the socket.
"""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

from ppbench.bundle import Tree
from ppbench.errors import UnavailableError
from ppbench.wire.connection import tcp_info

_DESCRIPTORS = Path("/proc/self/fd")


def reserve_port(host: str) -> int:
    """A TCP port that nobody on `host` listens on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def check_available() -> None:
    """Raise UnavailableError where an engine's sockets cannot be counted."""
    if not sys.platform.startswith("linux"):
        raise UnavailableError("an engine's own sockets are counted by Linux alone (TCP_INFO, /proc/self/fd)")


def payload_by_socket(known: Collection[int]) -> list[Tree]:
    """TCP payload of each of this process's connections whose descriptor is not in `known`.

    One dict a socket: `local` and `remote` as "host:port", `sent` and `received` in bytes since it was opened. Read
    from the process's own descriptors: a dump of the kernel's socket tables (sock_diag) was seen to leave one out.
    """
    counted = {}
    for sock in own_sockets(known):
        with sock:
            if (payload := payload_of(sock)) is not None:
                counted[payload["local"], payload["remote"]] = payload
    return list(counted.values())


def payload_of(sock: socket.socket) -> Tree | None:
    """What `payload_by_socket` says of one; None of a socket that is not connected over TCP."""
    try:
        local, remote = sock.getsockname(), sock.getpeername()
        payload = tcp_info(sock) if is_tcp(sock) else None
    except OSError:
        return None  # it listens, or has ended
    if payload is None:
        return None
    return {"local": _address(local), "remote": _address(remote), "sent": payload[0], "received": payload[1]}


def is_tcp(sock: socket.socket) -> bool:
    """Whether it is one whose bytes the kernel counts."""
    return sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_STREAM


def own_sockets(known: Collection[int] = ()) -> Iterator[socket.socket]:
    """Second handles on the TCP sockets of this process whose descriptors are not in `known`."""
    for link in _DESCRIPTORS.iterdir():
        descriptor = int(link.name)
        if descriptor in known:
            continue
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            sock = socket.socket(fileno=os.dup(descriptor))
        except OSError:
            continue  # closed meanwhile
        if is_tcp(sock):
            yield sock
        else:
            sock.close()


def _address(end: tuple[str, int]) -> str:
    return f"{end[0].removeprefix('::ffff:')}:{end[1]}"
