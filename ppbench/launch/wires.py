"""The wires that a job can choose from, by name."""

from __future__ import annotations

from ppbench.launch.memory import MemoryWire
from ppbench.launch.namespaces import NamespacesWire
from ppbench.launch.processes import TcpWire
from ppbench.launch.remote import RemoteWire
from ppbench.launch.wire import Wire

WIRES: dict[str, type[Wire]] = {
    "tcp": TcpWire,
    "memory": MemoryWire,
    "namespaces": NamespacesWire,
    "remote": RemoteWire,
}
