"""Parties in threads of the harness's own process."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from ppbench.errors import UnavailableError
from ppbench.launch.host import Host
from ppbench.launch.wire import Wire
from ppbench.process import Interpreter
from ppbench.wire.connection import Connection


class MemoryWire(Wire):
    """All parties in threads of this process, joined by socket pairs: for tests; costs are not to be quoted."""

    name: ClassVar[str] = "memory"
    title: ClassVar[str] = "all parties in threads of one process: for tests, costs are not to be quoted"
    own_processes: ClassVar[bool] = False

    def __init__(self, pairs: Sequence[tuple[str, str]], threads: int, log_dir: Path, interpreter: Interpreter) -> None:
        if interpreter != Interpreter():
            raise UnavailableError("an interpreter of its own needs processes: wire=tcp")
        super().__init__(pairs, threads, log_dir, interpreter)
        self._threads: dict[str, threading.Thread] = {}
        self._sockets: list[socket.socket] = []

    def start(self, groups: Sequence[Sequence[str]], deadline_s: float) -> dict[str, Connection]:
        """See `Wire.start`."""
        names = [name for group in groups for name in group]
        ends: dict[str, dict[str, socket.socket]] = {name: {} for name in names}
        for one, other in self.pairs:
            ends[one][other], ends[other][one] = self._pair()
        controls = {}
        for name in names:
            ours, theirs = self._pair()
            controls[name] = Connection(ours)
            self.log(name).unlink(missing_ok=True)
            host = Host(Connection(theirs), own_process=False, sockets=ends[name], log=self.log(name))
            self._threads[name] = threading.Thread(target=host.run, name=name, daemon=True)
            self._threads[name].start()
        return controls

    @classmethod
    def confinement(cls) -> str:
        """See `Wire.confinement`."""
        return "nothing: they are threads of the harness"

    def dials(self) -> bool:
        """See `Wire.dials`."""
        return False

    def state(self, name: str, wait_s: float = 0.0) -> str:
        """See `Wire.state`."""
        return "running" if self._threads[name].is_alive() else "ended"

    def end(self, name: str) -> None:
        """See `Wire.end`; a thread cannot be killed, so it is left to find its channels closed."""

    def close(self) -> None:
        """See `Wire.close`."""
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads.values():
            thread.join(timeout=1.0)
        for sock in self._sockets:
            sock.close()

    def _pair(self) -> tuple[socket.socket, socket.socket]:
        pair = socket.socketpair()
        self._sockets += pair
        return pair
