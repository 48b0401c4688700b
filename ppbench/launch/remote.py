"""Participants on machines of their own, started there by hand; all other parties here."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ppbench.bundle import Tree
from ppbench.errors import PeerGone, UnavailableError
from ppbench.launch.door import EVERYWHERE, RemoteOptions, close_door, current_door, open_door
from ppbench.launch.joined_device import JoinedDevice
from ppbench.launch.joining import RunOrder, run_key
from ppbench.launch.processes import TcpWire
from ppbench.launch.wire import LOOPBACK
from ppbench.party import role_of
from ppbench.process import Interpreter
from ppbench.scheme import PARTICIPANT
from ppbench.wire.connection import Connection

_GLANCE_S = 0.2


class RemoteWire(TcpWire):
    """Each group of participants on a device that has joined through the door; the others as on `TcpWire`.

    A device only ever calls out: to the door, and to the ports that coordinator and third parties listen on.
    """

    name: ClassVar[str] = "remote"
    title: ClassVar[str] = "participants on devices that run `ppbench participant`, all others here"
    settings: ClassVar[type[Any] | None] = RemoteOptions
    crosses_network: ClassVar[bool] = True
    counts_instructions: ClassVar[bool] = False

    def __init__(self, pairs: Sequence[tuple[str, str]], threads: int, log_dir: Path, interpreter: Interpreter) -> None:
        if interpreter != Interpreter():
            raise UnavailableError("an interpreter of its own is only on this machine: wire=tcp")
        super().__init__(pairs, threads, log_dir, interpreter)
        self._door = current_door()
        self._nonce = secrets.token_hex(16)
        self.run_key = run_key(self._door.token, self._nonce)
        self.certificate = self._door.certificate.path if self._door.certificate else None
        self._devices: dict[str, JoinedDevice] = {}

    @classmethod
    def open(cls, settings: RemoteOptions) -> None:
        """See `Wire.open`: listen for devices."""
        open_door(settings)

    @classmethod
    def shut(cls) -> None:
        """See `Wire.shut`: tell them that it is over."""
        close_door()

    def gather(self, groups: Sequence[Sequence[str]]) -> None:
        """See `Wire.gather`."""
        remote = [group for group in groups if _is_remote(group)]
        for group, device in zip(remote, self._door.gather(remote), strict=True):
            self._devices |= dict.fromkeys(group, device)

    def start(self, groups: Sequence[Sequence[str]], deadline_s: float) -> dict[str, Connection]:
        """See `Wire.start`."""
        for group in groups:
            if _is_remote(group):
                self._devices[group[0]].run(RunOrder(list(group), self._nonce, self.threads), deadline_s)
        controls = super().start([group for group in groups if not _is_remote(group)], deadline_s)
        return controls | self._accept_remote(set(self._devices), deadline_s)

    def hosts(self, name: str) -> Mapping[str, str]:
        """See `Wire.hosts`; nobody reaches a device."""
        here = {party for pair in self.pairs for party in pair if party not in self._devices}
        if name in self._devices:
            return {**dict.fromkeys(here, self._devices[name].dialled), name: LOOPBACK}
        near = LOOPBACK if self._door.host == EVERYWHERE else self._door.host
        return {**dict.fromkeys(here, near), name: self._door.host}

    def machines(self) -> Mapping[str, Tree]:
        """See `Wire.machines`."""
        return {name: device.machine for name, device in self._devices.items()}

    def state(self, name: str, wait_s: float = 0.0) -> str:
        """See `Wire.state`."""
        return self._devices[name].state(wait_s) if name in self._devices else super().state(name, wait_s)

    def end(self, name: str) -> None:
        """See `Wire.end`."""
        if name in self._devices:
            self._devices[name].say_end()
        else:
            super().end(name)

    def close(self) -> None:
        """See `Wire.close`."""
        for device in set(self._devices.values()):
            device.say_end()
        super().close()
        for device in set(self._devices.values()):
            device.await_end()
        for name, device in self._devices.items():
            if device.log:
                self.log_dir.mkdir(parents=True, exist_ok=True)
                self.log(name).write_text(device.log)

    def _accept_remote(self, awaited: set[str], deadline_s: float) -> dict[str, Connection]:
        controls: dict[str, Connection] = {}
        while awaited:
            if time.monotonic() > deadline_s:
                raise TimeoutError
            if party := self._door.admit(lambda name: self.run_key if name in awaited else None, _GLANCE_S):
                awaited.remove(party.name)
                controls[party.name] = party.connection(authenticated=True)
                continue
            for name in awaited:
                if (state := self.state(name)) != "running":
                    raise PeerGone(f"{name} was {state} before it started")
        return controls


def _is_remote(group: Sequence[str]) -> bool:
    return role_of(group[0]) == PARTICIPANT
