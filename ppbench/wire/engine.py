"""Bytes of an engine that opens sockets of its own, read from the kernel's socket tables.

The engine's connections must stay open until its role's `close`: the kernel forgets the count with the socket.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Collection
from pathlib import Path

from ppbench.bundle import Tree
from ppbench.errors import UnavailableError

_DESCRIPTORS = Path("/proc/self/fd")
_TCP_INFO_EXTENSION = 1 << 1


def reserve_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody on `host` listens on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def check_available() -> None:
    """Raise UnavailableError, with the line that mends it, where an engine's sockets cannot be counted."""
    try:
        import pyroute2  # noqa: F401
    except ImportError as error:
        raise UnavailableError(
            "an engine's own sockets are counted with pyroute2: pip install 'pyroute2>=0.7.12'"
        ) from error


def payload_by_socket(known: Collection[int]) -> list[Tree]:
    """TCP payload of each of this process's connections whose descriptor is not in `known`.

    One dict a socket: `local` and `remote` as "host:port", `sent` and `received` in bytes since it was opened.
    """
    from pyroute2 import DiagSocket

    own = _own_inodes(known)
    counted = []
    with DiagSocket() as diag:
        for family in (socket.AF_INET, socket.AF_INET6):
            for entry in diag.get_sock_stats(family=family, extensions=_TCP_INFO_EXTENSION):
                info = entry.get_attr("INET_DIAG_INFO")
                if entry["idiag_inode"] not in own or info is None or not entry["idiag_dport"]:
                    continue
                counted.append(
                    {
                        "local": f"{_plain(entry['idiag_src'])}:{entry['idiag_sport']}",
                        "remote": f"{_plain(entry['idiag_dst'])}:{entry['idiag_dport']}",
                        "sent": info["tcpi_bytes_sent"] - info["tcpi_bytes_retrans"],
                        "received": info["tcpi_bytes_received"],
                    }
                )
    return counted


def _own_inodes(known: Collection[int]) -> set[int]:
    inodes = set()
    for link in _DESCRIPTORS.iterdir():
        if int(link.name) in known:
            continue
        try:
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(link))
        except OSError:
            continue
        if match:
            inodes.add(int(match[1]))
    return inodes


def _plain(address: str) -> str:
    return address.removeprefix("::ffff:")
