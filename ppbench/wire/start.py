"""The wires that a job can choose from, by name."""

from __future__ import annotations

from ppbench.wire.base import Wire
from ppbench.wire.memory import MemoryWire
from ppbench.wire.namespaces import NamespacesWire
from ppbench.wire.processes import TcpWire
from ppbench.wire.remote import RemoteWire

WIRES: dict[str, type[Wire]] = {
    "tcp": TcpWire,
    "memory": MemoryWire,
    "namespaces": NamespacesWire,
    "remote": RemoteWire,
}
