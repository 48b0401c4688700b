"""What the channels run over, and where the parties live: processes joined by TCP, or threads joined in memory."""

from __future__ import annotations

import abc
import contextlib
import secrets
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ppbench.errors import PeerGone, ProtocolError, UnavailableError
from ppbench.host import Host
from ppbench.process import Interpreter, kill_session
from ppbench.wire import handshake
from ppbench.wire.connection import Connection

_STATES = {"R": "computing", "S": "waiting", "D": "waiting", "T": "stopped", "t": "stopped", "Z": "dead"}


class Wire(abc.ABC):
    """Starts the parties of one run and ends them, whatever happens."""

    @abc.abstractmethod
    def start(self, groups: Sequence[Sequence[str]], deadline_s: float) -> dict[str, Connection]:
        """A control connection to each party; parties of one group share a process.

        Raises PeerGone if one ends before it connects, TimeoutError at `deadline_s` on the monotonic clock.
        """

    @abc.abstractmethod
    def dials(self) -> bool:
        """Whether the parties have yet to connect to one another."""

    @abc.abstractmethod
    def state(self, name: str, wait_s: float = 0.0) -> str:
        """In a word or two, what the party is doing, or how it ended if it does within `wait_s`."""

    @abc.abstractmethod
    def end(self, name: str) -> None:
        """Kill one party, and those that share its process."""

    @abc.abstractmethod
    def close(self) -> None:
        """Kill all that still run, and wait for them."""


class TcpWire(Wire):
    """Each group of parties in a process of its own session, joined over loopback TCP."""

    def __init__(self, pairs: Sequence[tuple[str, str]], threads: int, log_dir: Path, interpreter: Interpreter) -> None:
        self._interpreter = interpreter
        self._resources = contextlib.ExitStack()
        self._threads = threads
        self._log_dir = log_dir
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, groups: Sequence[Sequence[str]], deadline_s: float) -> dict[str, Connection]:
        """See `Wire.start`."""
        token = secrets.token_bytes(32)
        self._log_dir.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.NamedTemporaryFile("w", prefix="ppbench-token-") as token_file,
            socket.create_server(("127.0.0.1", 0), backlog=sum(map(len, groups))) as listener,
        ):
            token_file.write(token.hex())
            token_file.flush()
            host, port = listener.getsockname()
            environment, folder = self._resources.enter_context(self._interpreter.surroundings(self._threads))
            for group in groups:
                self._launch(group, f"{host}:{port}", token_file.name, environment, folder)
            return self._accept_all(listener, {name for group in groups for name in group}, token, deadline_s)

    def dials(self) -> bool:
        """See `Wire.dials`."""
        return True

    def state(self, name: str, wait_s: float = 0.0) -> str:
        """See `Wire.state`."""
        process = self._processes[name]
        try:
            status = process.wait(wait_s)
        except subprocess.TimeoutExpired:
            return _process_state(process.pid)
        if status < 0:
            return f"killed by {signal.Signals(-status).name}"
        return f"exited with status {status}"

    def end(self, name: str) -> None:
        """See `Wire.end`."""
        kill_session(self._processes[name])

    def close(self) -> None:
        """See `Wire.close`."""
        for process in set(self._processes.values()):
            kill_session(process)
        self._resources.close()

    def _launch(
        self, group: Sequence[str], address: str, token_file: str, environment: Mapping[str, str], folder: str | None
    ) -> None:
        command = [*self._interpreter.command("ppbench.host"), "--connect", address, "--token-file", token_file, *group]
        with open(self._log_dir / f"{group[0]}.log", "ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
        for name in group:
            self._processes[name] = process

    def _accept_all(
        self, listener: socket.socket, awaited: set[str], token: bytes, deadline_s: float
    ) -> dict[str, Connection]:
        listener.settimeout(0.2)
        controls: dict[str, Connection] = {}
        while awaited:
            if time.monotonic() > deadline_s:
                raise TimeoutError
            try:
                sock, _ = listener.accept()
            except TimeoutError:
                for name in awaited:
                    if self._processes[name].poll() is not None:
                        raise PeerGone(f"{name} was {self.state(name)} before it started") from None
                continue
            try:
                name = handshake.accept(sock, lambda name: token if name in awaited else None)
            except ProtocolError:
                sock.close()
                continue
            awaited.remove(name)
            controls[name] = Connection(sock)
        return controls


class MemoryWire(Wire):
    """All parties in threads of this process, joined by socket pairs: for tests; costs are not to be quoted."""

    def __init__(self, pairs: Sequence[tuple[str, str]], threads: int, log_dir: Path, interpreter: Interpreter) -> None:
        if interpreter != Interpreter():
            raise UnavailableError("an interpreter of its own needs processes: wire=tcp")
        self._pairs = pairs
        self._threads: dict[str, threading.Thread] = {}
        self._sockets: list[socket.socket] = []

    def start(self, groups: Sequence[Sequence[str]], deadline_s: float) -> dict[str, Connection]:
        """See `Wire.start`."""
        names = [name for group in groups for name in group]
        ends: dict[str, dict[str, socket.socket]] = {name: {} for name in names}
        for one, other in self._pairs:
            ends[one][other], ends[other][one] = self._pair()
        controls = {}
        for name in names:
            ours, theirs = self._pair()
            controls[name] = Connection(ours)
            host = Host(Connection(theirs), own_process=False, sockets=ends[name])
            self._threads[name] = threading.Thread(target=host.run, name=name, daemon=True)
            self._threads[name].start()
        return controls

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


WIRES: dict[str, Callable[[Sequence[tuple[str, str]], int, Path, Interpreter], Wire]] = {
    "tcp": TcpWire,
    "memory": MemoryWire,
}


def _process_state(pid: int) -> str:
    try:
        return _STATES.get(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0], "running")
    except OSError:
        return "running"
