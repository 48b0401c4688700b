"""Parties in processes of their own, joined by TCP."""

from __future__ import annotations

import contextlib
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from ppbench.errors import PeerGone
from ppbench.launch.joining import HARNESS
from ppbench.launch.wire import LOOPBACK, Wire
from ppbench.process import Interpreter, ending, kill_session, start_session
from ppbench.wire.authentication import KEY_BYTES
from ppbench.wire.connection import Connection
from ppbench.wire.reception import Reception

_STATES = {"R": "computing", "S": "waiting", "D": "waiting", "T": "stopped", "t": "stopped", "Z": "dead"}


_LOOPBACK_S = 5.0
_GLANCE_S = 0.2


class TcpWire(Wire):
    """Each group of parties in a process of its own session, joined over loopback TCP."""

    name: ClassVar[str] = "tcp"
    title: ClassVar[str] = "a process for each party, joined over loopback TCP"

    def __init__(self, pairs: Sequence[tuple[str, str]], threads: int, log_dir: Path, interpreter: Interpreter) -> None:
        super().__init__(pairs, threads, log_dir, interpreter)
        self._resources = contextlib.ExitStack()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: dict[str, Path] = {}
        self.run_key = secrets.token_bytes(KEY_BYTES)
        """What the parties of this run know each other by; each has it from a file, and none is sent it."""

    @classmethod
    def why_not(cls) -> str | None:
        """See `Declared.why_not`."""
        try:
            with socket.create_server((LOOPBACK, 0)) as listener:
                socket.create_connection(listener.getsockname(), timeout=_LOOPBACK_S).close()
        except OSError as error:
            return f"no loopback for the parties to meet on: {LOOPBACK} does not answer ({error})"
        return super().why_not()

    def start(self, groups: Sequence[Sequence[str]], deadline_s: float) -> dict[str, Connection]:
        """See `Wire.start`."""
        self.log_dir.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.NamedTemporaryFile("w", prefix="ppbench-token-") as token_file,
            self.listener(backlog=sum(map(len, groups))) as (listener, address),
        ):
            token_file.write(self.run_key.hex())
            token_file.flush()
            environment, folder = self._resources.enter_context(self.interpreter.surroundings(self.threads))
            for group in groups:
                arguments = ["--connect", address, "--token-file", token_file.name]
                self._launch(group, arguments, environment, folder)
            return self._accept_all(listener, {name for group in groups for name in group}, deadline_s)

    @contextlib.contextmanager
    def listener(self, backlog: int) -> Iterator[tuple[socket.socket, str]]:
        """Where the parties find the harness: a listening socket, and its address as the command line has it."""
        with socket.create_server((LOOPBACK, 0), backlog=backlog) as listener:
            host, port = listener.getsockname()
            yield listener, f"{host}:{port}"

    def command(self, group: Sequence[str]) -> tuple[list[str], Sequence[int]]:
        """What to run for a group of parties, but for what they are told to do, and the descriptors it inherits."""
        return self.interpreter.command("ppbench.launch.host"), ()

    def dials(self) -> bool:
        """See `Wire.dials`."""
        return True

    def log(self, name: str) -> Path:
        """See `Wire.log`; parties that share a process share it."""
        return self._logs.get(name, super().log(name))

    def state(self, name: str, wait_s: float = 0.0) -> str:
        """See `Wire.state`."""
        process = self._processes.get(name)
        if process is None:
            return "not started"
        try:
            status = process.wait(wait_s)
        except subprocess.TimeoutExpired:
            return _process_state(process.pid)
        return ending(status)

    def pid(self, name: str) -> int | None:
        """See `Wire.pid`."""
        process = self._processes.get(name)
        return process.pid if process and process.poll() is None else None

    def end(self, name: str) -> None:
        """See `Wire.end`."""
        kill_session(self._processes[name])

    def close(self) -> None:
        """See `Wire.close`."""
        for process in set(self._processes.values()):
            kill_session(process)
        for log in set(self._logs.values()):
            if log.exists() and not log.stat().st_size:
                log.unlink()
        with contextlib.suppress(OSError):  # others are still there
            self.log_dir.rmdir()
        self._resources.close()

    def _launch(
        self, group: Sequence[str], arguments: Sequence[str], environment: Mapping[str, str], folder: str | None
    ) -> None:
        command, descriptors = self.command(group)
        path = super().log(group[0])
        self._logs |= dict.fromkeys(group, path)
        # What an earlier run left, this one's reason is not to point at.
        with open(path, "wb") as log:
            process = start_session(
                [*command, *arguments, *group],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=folder,
                pass_fds=descriptors,
            )
        for name in group:
            self._processes[name] = process

    def _accept_all(self, listener: socket.socket, awaited: set[str], deadline_s: float) -> dict[str, Connection]:
        controls: dict[str, Connection] = {}
        reception = Reception(listener, HARNESS, lambda name: self.run_key if name in awaited else None, len(awaited))
        with contextlib.closing(reception):
            while awaited:
                if time.monotonic() > deadline_s:
                    raise TimeoutError
                if admitted := reception.admit(_GLANCE_S):
                    _, party = admitted
                    awaited.remove(party.name)
                    # On one machine, behind a token that only its owner can read, nobody comes between.
                    controls[party.name] = party.connection(authenticated=False)
                    continue
                for name in awaited:
                    if self._processes[name].poll() is not None:
                        raise PeerGone(f"{name} was {self.state(name)} before it started{self.traceback(name)}")
        return controls


def _process_state(pid: int) -> str:
    try:
        return _STATES.get(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0], "running")
    except OSError:
        return "running"
