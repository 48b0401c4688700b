"""Parties in processes of their own, joined by TCP."""

from __future__ import annotations

import collections
import contextlib
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from ppbench.cache import cache_dir
from ppbench.errors import PeerGone
from ppbench.instructions.counter import Counter
from ppbench.launch import confine, outside
from ppbench.launch.joining import HARNESS
from ppbench.launch.output import Output
from ppbench.launch.wire import LOOPBACK, Wire
from ppbench.process import Interpreter, ending, kill_session, start_session, temporary_folder
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
    counts_instructions: ClassVar[bool] = True

    def __init__(self, pairs: Sequence[tuple[str, str]], threads: int, log_dir: Path, interpreter: Interpreter) -> None:
        super().__init__(pairs, threads, log_dir, interpreter)
        self._resources = contextlib.ExitStack()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._outputs: dict[str, Output] = {}
        self._folder = Path()
        """In which each process has one of its own."""
        self._counter: type[Counter] | None = None
        self.run_key = secrets.token_bytes(KEY_BYTES)
        """What the parties of this run know each other by; each is told it as it starts, and none is sent it."""

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
        with self.listener(backlog=sum(map(len, groups))) as (listener, address):
            self._folder = self._resources.enter_context(temporary_folder("parties"))
            environment = self._resources.enter_context(self.interpreter.surroundings(self.threads))
            if self._counter is not None:
                environment |= self._counter.surroundings
            for group in groups:
                self._launch(group, address, environment)
            return self._accept_all(listener, {name for group in groups for name in group}, deadline_s)

    @contextlib.contextmanager
    def listener(self, backlog: int) -> Iterator[tuple[socket.socket, str]]:
        """Where the parties find the harness: a listening socket, and its address as the command line has it."""
        with socket.create_server((LOOPBACK, 0), backlog=backlog) as listener:
            host, port = listener.getsockname()
            yield listener, f"{host}:{port}"

    def command(self, group: Sequence[str]) -> tuple[list[str], Sequence[int]]:
        """What to run for a group of parties, but for what they are told to do, and the descriptors it inherits."""
        return [*self.interpreter.command("ppbench.launch.confine"), *self.confined(group)], ()

    def confined(self, group: Sequence[str]) -> list[str]:
        """What `ppbench.launch.confine` is told, to become the process of a group."""
        job = self.log_dir.parent
        # The job's folder by itself too: if the folder of all results is one that code is in, it alone is hidden.
        hidden = (cache_dir(), job.parent, job, self._folder)
        readable = () if self.certificate is None else (self.certificate,)
        own = self._folder / group[0]
        if self._counter is None:
            return confine.arguments(own, hidden, "ppbench.launch.host", readable)
        counted = confine.arguments(own, hidden, "ppbench.launch.host", readable, self._counter.under())
        return [*counted, "--instructions", self._counter.name]

    def count_instructions(self, counter: type[Counter]) -> None:
        """See `Wire.count_instructions`."""
        self._counter = counter

    def dials(self) -> bool:
        """See `Wire.dials`."""
        return True

    @classmethod
    def confinement(cls) -> str:
        """See `Wire.confinement`."""
        return confine.told()

    def children_cpu_s(self) -> Mapping[str, float]:
        """See `Wire.children_cpu_s`; of a process that parties share, it cannot be said whose it is."""
        pids = self._pids()
        n_parties = collections.Counter(pids.values())
        return {name: outside.descendants_cpu_s(pid) for name, pid in pids.items() if n_parties[pid] == 1}

    def resident_bytes(self) -> Mapping[str, int]:
        """See `Wire.resident_bytes`."""
        pids = self._pids()
        held = {pid: outside.resident_bytes(pid) for pid in set(pids.values())}
        return {name: held[pid] for name, pid in pids.items()}

    def _pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self._processes.items()}

    def log(self, name: str) -> Path:
        """See `Wire.log`; parties that share a process share it."""
        return self._outputs[name].path if name in self._outputs else super().log(name)

    def traceback(self, name: str) -> str:
        """See `Wire.traceback`."""
        if name in self._outputs:
            self._outputs[name].settle()
        return super().traceback(name)

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
        for output in set(self._outputs.values()):
            output.settle()
            if output.path.exists() and not output.path.stat().st_size:
                output.path.unlink()
        with contextlib.suppress(OSError):  # others are still there
            self.log_dir.rmdir()
        self._resources.close()

    def _launch(self, group: Sequence[str], address: str, environment: Mapping[str, str]) -> None:
        command, descriptors = self.command(group)
        # What an earlier run left, this one's reason is not to point at.
        output = Output(super().log(group[0]))
        self._outputs |= dict.fromkeys(group, output)
        # There it works, so what an engine leaves there goes.
        own = self._folder / group[0]
        own.mkdir()
        with output.end() as end:
            process = start_session(
                [*command, "--connect", address, "--token-file", "/dev/stdin", *group],
                stdin=subprocess.PIPE,
                stdout=end,
                stderr=end,
                env=environment,
                cwd=own,
                pass_fds=descriptors,
            )
        self._processes |= dict.fromkeys(group, process)
        assert process.stdin is not None
        # A child that is dead already has a state that says so.
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(self.run_key.hex().encode())

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
