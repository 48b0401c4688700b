"""A network of namespaces, one for each party, with a veth pair for each pair of parties that may speak."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import IO, Any

from ppbench.errors import PeerGone, PpbenchError, UnavailableError
from ppbench.process import Interpreter, environment, kill_session, module_command, start_session

MTU_BYTES = 1500
"""The largest IP packet that parties send."""
_ENDS_S = 5.0
_PATIENCE_S = 10.0
_INTERFACE_NAME = re.compile(r"[A-Za-z0-9_-]{1,15}")


class NamespaceNetwork:
    """Open namespaces; they last until `close`, or for as long as a process lives inside.

    Where a pair is `relayed`, each party's veth ends in one further namespace, in which nothing forwards but what
    is run there (`relay_ends` names the two interfaces of each pair).
    """

    def __init__(self, pairs: Sequence[tuple[str, str]], relayed: Sequence[tuple[str, str]] = ()) -> None:
        self.names = list(dict.fromkeys(name for pair in pairs for name in pair))
        self.addresses = {name: _address(number) for number, name in enumerate(self.names, 1)}
        """Name -> IPv4 address, the same towards everybody."""
        self.interfaces: dict[str, dict[str, str]] = {name: {} for name in self.names}
        """Name -> peer -> the interface that leads there alone."""
        self.relay_ends: dict[tuple[str, str], tuple[str, str]] = {}
        """Relayed pair -> the relay's interfaces, to the first and to the second."""
        for one, other in pairs:
            for name, peer in ((one, other), (other, one)):
                fits = _INTERFACE_NAME.fullmatch(peer) and peer != "lo"
                self.interfaces[name][peer] = peer if fits else f"peer{self.names.index(peer)}"
        for number, pair in enumerate(relayed):
            self.relay_ends[pair] = f"relay{number}a", f"relay{number}b"
        self._pairs = pairs
        self._descriptors: list[int] = []

    def make(self, deadline_s: float) -> None:
        """Make it, in a process of its own.

        Raises UnavailableError, with the reason, where it cannot be; TimeoutError at `deadline_s` on the monotonic
        clock; PeerGone if the process is killed.
        """
        if not sys.platform.startswith("linux"):
            raise UnavailableError("network namespaces exist on Linux alone: wire=tcp")
        ours, theirs = socket.socketpair()
        with ours, tempfile.TemporaryFile() as log:
            with theirs:
                builder = start_session(
                    [*module_command("ppbench.launch.veths"), str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment(threads=1),
                    pass_fds=[theirs.fileno()],
                )
            try:
                self._exchange(ours, deadline_s)
                if len(self._descriptors) <= self._n_networks:
                    _explain(builder.wait(_ENDS_S), log)
            except BaseException:
                self.close()
                raise
            finally:
                kill_session(builder)

    def close(self) -> None:
        """Let go of the namespaces; the kernel removes them with the last process inside."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    @property
    def user(self) -> int:
        """The descriptor of the user namespace that owns the network namespaces."""
        return self._descriptors[0]

    def descriptor(self, name: str) -> int:
        """The descriptor of a party's network namespace."""
        return self._descriptors[1 + self.names.index(name)]

    @property
    def relay(self) -> int:
        """The descriptor of the network namespace between relayed pairs."""
        return self._descriptors[1 + len(self.names)]

    @staticmethod
    def command(interpreter: Interpreter, module: str, *descriptors: int) -> list[str]:
        """To run a module inside the namespaces with these descriptors, which the process has to be given."""
        return [*interpreter.command("ppbench.launch.enter"), ",".join(map(str, descriptors)), module]

    @property
    def _n_networks(self) -> int:
        return len(self.names) + bool(self.relay_ends)

    def _plan(self) -> dict[str, Any]:
        veths: list[list[dict[str, Any]]] = []
        for one, other in self._pairs:
            ends = [self._end(one, other), self._end(other, one)]
            between = self.relay_ends.get((one, other))
            if between is None:
                veths.append(ends)
            else:
                veths += [[end, self._relay_end(interface)] for end, interface in zip(ends, between, strict=True)]
        return {"n_networks": self._n_networks, "veths": veths}

    def _end(self, name: str, peer: str) -> dict[str, Any]:
        own, other = self.names.index(name), self.names.index(peer)
        return {
            "network": own,
            "interface": self.interfaces[name][peer],
            "mac": _mac(own),
            "address": self.addresses[name],
            "peer_address": self.addresses[peer],
            "peer_mac": _mac(other),
        }

    def _relay_end(self, interface: str) -> dict[str, Any]:
        return {"network": len(self.names), "interface": interface, "mac": _mac(len(self.names)), "address": None}

    def _exchange(self, door: socket.socket, deadline_s: float) -> None:
        """Say what is planned, and keep the descriptors that come, the user namespace's first."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            door.settimeout(_left_s(deadline_s))
            door.sendall(json.dumps(self._plan()).encode())
            door.shutdown(socket.SHUT_WR)
            while len(self._descriptors) <= self._n_networks:
                door.settimeout(_left_s(deadline_s))
                _, descriptors, _, _ = socket.recv_fds(door, 1, 1)
                if not descriptors:
                    return
                self._descriptors += descriptors


@functools.cache
def unavailable() -> str:
    """Why no network of namespaces can be made here, found out by making one; empty if it can."""
    network = NamespaceNetwork([("one", "other")])
    try:
        network.make(time.monotonic() + _PATIENCE_S)
    except (PpbenchError, OSError) as error:
        return str(error) or f"making network namespaces took longer than {_PATIENCE_S:g} s"
    finally:
        network.close()
    return ""


def _left_s(deadline_s: float) -> float:
    # A timeout of zero would be none.
    return max(1e-3, deadline_s - time.monotonic())


def _explain(status: int, log: IO[bytes]) -> None:
    """Raise what became of a process that did not make the namespaces."""
    if status < 0:
        raise PeerGone(f"what makes the network namespaces was killed by {signal.Signals(-status).name}")
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines() or [f"exited with status {status}"]
    raise UnavailableError(f"wire=namespaces cannot run here: {lines[-1]}")


def _address(number: int) -> str:
    """The party's own, out of 10.77.0.0/16: who is in such a network reaches nobody else's."""
    return f"10.77.{number >> 8}.{number & 0xFF}"


def _mac(number: int) -> str:
    """Locally administered, by the namespace: each of its interfaces leads elsewhere."""
    return f"02:00:00:00:{number >> 8:02x}:{number & 0xFF:02x}"
