"""The wires that a job can choose from; each that a command needs is opened once, and shut at its end."""

from __future__ import annotations

from typing import Any

from ppbench.launch.wire import Wire
from ppbench.registry import Registry

WIRES: Registry[Wire] = Registry("wire", "ppbench.wires", Wire)  # type: ignore[type-abstract]

_open: set[type[Wire]] = set()


def open_wire(wire: type[Wire], settings: Any) -> None:
    """Make it ready for every run of this process. Raises ConfigError."""
    wire.open(settings)
    _open.add(wire)


def shut_wires() -> None:
    """All that are open; no further run comes."""
    while _open:
        _open.pop().shut()
