"""Parties in network namespaces of their own, so that the kernel counts the packets of each pair of parties."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from ppbench.launch import namespace_network
from ppbench.launch.namespace_network import NamespaceNetwork
from ppbench.launch.processes import TcpWire
from ppbench.launch.relay import Shape
from ppbench.launch.shaping import RelayProcess
from ppbench.party import role_of
from ppbench.process import Interpreter, temporary_folder
from ppbench.scheme import PARTICIPANT
from ppbench.wire.connection import Connection


class NamespacesWire(TcpWire):
    """As `TcpWire`, but in a user namespace, and over a veth pair for each pair of parties that has a channel.

    What harness and parties say to each other goes over a UNIX socket, whose path is the same in all namespaces: it
    is on none of the counted interfaces.
    """

    name: ClassVar[str] = "namespaces"
    title: ClassVar[str] = (
        "a network namespace for each party, whose packets the kernel counts, and links that are shaped"
    )
    shapes_links: ClassVar[bool] = True

    def __init__(self, pairs: Sequence[tuple[str, str]], threads: int, log_dir: Path, interpreter: Interpreter) -> None:
        super().__init__(pairs, threads, log_dir, interpreter)
        self._network = NamespaceNetwork(pairs)
        self._shape: Shape | None = None

    @classmethod
    def why_not(cls) -> str | None:
        """See `Declared.why_not`."""
        return namespace_network.unavailable() or None

    def shape(self, shape: Shape) -> None:
        """See `Wire.shape`."""
        relayed = [pair for pair in self.pairs if PARTICIPANT in map(role_of, pair)]
        self._network, self._shape = NamespaceNetwork(self.pairs, relayed), shape

    def start(self, groups: Sequence[Sequence[str]], deadline_s: float) -> dict[str, Connection]:
        """See `Wire.start`; raises UnavailableError, with the reason, where namespaces cannot be made."""
        self._resources.callback(self._network.close)
        self._network.make(deadline_s)
        if self._shape:
            self.log_dir.mkdir(parents=True, exist_ok=True)
            relay = RelayProcess(self._network, self._shape, self.log_dir / "relay.log", deadline_s)
            self._resources.enter_context(relay)
        return super().start(groups, deadline_s)

    @contextlib.contextmanager
    def listener(self, backlog: int) -> Iterator[tuple[socket.socket, str]]:
        """See `TcpWire.listener`."""
        with temporary_folder("run") as folder, socket.socket(socket.AF_UNIX) as listener:
            path = folder / "harness"
            listener.bind(str(path))
            listener.listen(backlog)
            yield listener, f"unix:{path}"

    def command(self, group: Sequence[str]) -> tuple[list[str], Sequence[int]]:
        """See `TcpWire.command`: the process enters the user namespace, and each party's thread a network's."""
        networks = {name: self._network.descriptor(name) for name in group}
        command = self._network.command(self.interpreter, "ppbench.launch.confine", self._network.user)
        command += self.confined(group)
        for name, descriptor in networks.items():
            command += ["--network", f"{name}={descriptor}"]
        return command, (self._network.user, *networks.values())

    def hosts(self, name: str) -> Mapping[str, str]:
        """See `Wire.hosts`."""
        return self._network.addresses

    def interfaces(self, name: str) -> Mapping[str, str]:
        """See `Wire.interfaces`."""
        return self._network.interfaces[name]
