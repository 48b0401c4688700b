"""The wires that a job can choose from, by name."""

from __future__ import annotations

from ppbench.wire.base import Wire
from ppbench.wire.memory import MemoryWire
from ppbench.wire.processes import TcpWire

WIRES: dict[str, type[Wire]] = {"tcp": TcpWire, "memory": MemoryWire}
