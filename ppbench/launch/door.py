"""Where devices on other machines join the harness, and stay from job to job: the only port that is known before."""

from __future__ import annotations

import dataclasses
import select
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import ppbench
from ppbench.cache import cache_dir
from ppbench.errors import ConfigError, PeerGone, ProtocolError, UnavailableError, in_range
from ppbench.launch.joined_device import JoinedDevice
from ppbench.launch.joining import DEVICE, address, keep_alive, make_token, read_token
from ppbench.party import participant_name
from ppbench.wire import control, handshake
from ppbench.wire.connection import Connection, wait_readable

EVERYWHERE = "0.0.0.0"
_GLANCE_S = 0.2


@dataclasses.dataclass(frozen=True)
class RemoteOptions:
    """How devices reach the harness.

    They are no part of a job: where the harness listens decides nothing of what is measured, and the same job is the
    same, with the same id, from whatever desk. That its participants are remote is: `wire=remote`.
    """

    listen: str = f"{EVERYWHERE}:7700"
    """HOST:PORT to listen on; the parties that stay here listen on ports of the same host that the system chooses."""
    token_file: str | None = None
    """What a device must know to take part; made if it is missing. None: `remote.token` in the cache folder."""
    wait_s: float = 600.0
    """How long each set of processes waits for its devices; the job's deadline counts from when they are there."""

    def __post_init__(self) -> None:
        """Refuse an address that is none, and a negative wait."""
        address("remote.listen", self.listen)
        in_range("remote.wait_s", self.wait_s, 0)

    @property
    def token_path(self) -> Path:
        """Where the token is, or is to be made."""
        return cache_dir() / "remote.token" if self.token_file is None else Path(self.token_file)


class Door:
    """Listens for devices as long as the harness lives, and lets in who knows the token."""

    def __init__(self, options: RemoteOptions) -> None:
        self.options = options
        self.host, port = address("remote.listen", options.listen)
        self.token = _token(options.token_path)
        try:
            self._listener = socket.create_server((self.host, port), backlog=64)
        except OSError as error:
            raise ConfigError(f"remote.listen={options.listen!r} cannot be listened on: {error.strerror}") from error
        self.port: int = self._listener.getsockname()[1]
        self.devices: list[JoinedDevice] = []
        """In the order in which they joined."""

    def gather(self, groups: Sequence[Sequence[str]]) -> list[JoinedDevice]:
        """A device for each group of participants, waiting for those that are not here. Raises UnavailableError."""
        until_s = time.monotonic() + self.options.wait_s
        told = 0
        while True:
            while self._knocks(0.0):
                self.admit(lambda name: None, 0.0)
            chosen = self._choose(groups)
            if len(chosen) == len(groups):
                return [chosen[i] for i in range(len(groups))]
            lacking = len(groups) - len(chosen)
            if time.monotonic() > until_s:
                raise UnavailableError(
                    f"wire=remote needs {len(groups)} device(s) that run `ppbench participant`: {len(chosen)} came "
                    f"within remote.wait_s={self.options.wait_s:g}"
                )
            if lacking != told:
                told = lacking
                path = self.options.token_path
                _say(f"waiting for {lacking} device(s), each with a copy of {path}: {self.command()}")
            self._knocks(_GLANCE_S)

    def command(self) -> str:
        """What to run on a device."""
        host = own_address() if self.host == EVERYWHERE else self.host
        return f"ppbench participant --connect {host}:{self.port} --token-file {self.options.token_path.name}"

    def admit(self, key_of: Callable[[str], bytes | None], wait_s: float) -> tuple[str, socket.socket] | None:
        """Who connects within `wait_s`, if it is a party with the key of its name; a device is let in on the way."""
        if not self._knocks(wait_s):
            return None
        sock, (host, *_) = self._listener.accept()
        try:
            name = handshake.accept(sock, lambda name: self.token if name == DEVICE else key_of(name))
            keep_alive(sock)
            if name != DEVICE:
                return name, sock
            self._join(Connection(sock), host)
        except (ProtocolError, PeerGone) as error:
            _say(f"refused {host}: {error}")
            sock.close()
        return None

    def close(self) -> None:
        """Tell all devices that it is over."""
        self._listener.close()
        for device in self.devices:
            device.dismiss()
        self.devices.clear()

    def _knocks(self, wait_s: float) -> bool:
        return bool(select.select([self._listener], [], [], wait_s)[0])

    def _join(self, connection: Connection, host: str) -> None:
        if not wait_readable([connection], handshake.TIMEOUT_S):
            raise ProtocolError("a device said nothing")
        word, said = control.Inbox(connection).receive()
        if word != "join":
            raise ProtocolError(f"a device said {word!r} instead of 'join'")
        # Before anything else is read: of another version's words no more can be known.
        if (theirs := said["machine"]["ppbench_version"]) != ppbench.__version__:
            reason = f"it has ppbench {theirs}, the harness has ppbench {ppbench.__version__}"
            control.send(connection, "refused", {"reason": reason})
            raise ProtocolError(reason)
        device = JoinedDevice(connection, said)
        self.devices.append(device)
        _say(f"{host} joined: {device.machine['cpu']}, {device.machine['n_cpus']} cores")

    def _choose(self, groups: Sequence[Sequence[str]]) -> dict[int, JoinedDevice]:
        """Position of a group -> its device: first those that ask for an index, then all others as they joined."""
        self.devices = [device for device in self.devices if device.is_here()]
        free, chosen = list(self.devices), {}
        for asks in (True, False):
            for position, group in enumerate(groups):
                fits = (device for device in free if _fits(device, group, asks))
                if position not in chosen and (device := next(fits, None)):
                    chosen[position] = device
                    free.remove(device)
        return chosen


def _fits(device: JoinedDevice, group: Sequence[str], asks: bool) -> bool:
    return participant_name(device.index) in group if device.index is not None else not asks


def own_address() -> str:
    """The address by which this machine goes out, and so by which others of its network are likely to reach it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address: no packet is sent
            return str(probe.getsockname()[0])
        except OSError:
            return "THIS-MACHINE"


def _token(path: Path) -> bytes:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        make_token(path)
    except FileExistsError:
        pass
    except OSError as error:
        raise ConfigError(f"the token file {path} cannot be made: {error.strerror}") from error
    return read_token(path)


def _say(line: str) -> None:
    print(f"ppbench: {line}", file=sys.stderr, flush=True)


_door: Door | None = None


def open_door(options: RemoteOptions) -> Door:
    """Listen, unless this process does so already with the same options. Raises ConfigError."""
    global _door
    if _door is None or _door.options != options:
        close_door()
        _door = Door(options)
    return _door


def current_door() -> Door:
    """The one that is open. Raises UnavailableError if none is."""
    if _door is None:
        raise UnavailableError("wire=remote needs an open door for devices: ppbench run, or wire.door.open_door")
    return _door


def close_door() -> None:
    """Tell all devices that it is over, and listen no more."""
    global _door
    if _door is not None:
        _door.close()
        _door = None
