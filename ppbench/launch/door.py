"""Where devices on other machines join the harness, and stay from job to job: the only port that is known before."""

from __future__ import annotations

import dataclasses
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import ppbench
from ppbench.bundle import Tree
from ppbench.cache import cache_dir
from ppbench.errors import ConfigError, PeerGone, ProtocolError, UnavailableError, in_range
from ppbench.launch.joined_device import JoinedDevice
from ppbench.launch.joining import DEVICE, HARNESS, address, keep_alive, make_token, read_token, refuse_shared
from ppbench.party import participant_name
from ppbench.wire import control, reception
from ppbench.wire.handshake import Introduced, KeyOf
from ppbench.wire.reception import Reception

if TYPE_CHECKING:
    from ppbench.wire.tls import Certificate

EVERYWHERE = "0.0.0.0"
_GLANCE_S = 0.2
_BACKLOG = 1024
_MOST_AT_ONCE = 128
"""Devices, or participants of a run, that may all come in one moment from one address."""


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
    tls: bool = False
    """Encrypt all that crosses the network; a device says so too (`--tls`). Otherwise it is authenticated alone."""
    certificate: str | None = None
    """Certificate and key, as PEM in one file, for `tls`; made if it is missing. None: `remote.pem` in the cache."""

    def __post_init__(self) -> None:
        """Refuse an address that is none, a negative wait, and a certificate that nothing is encrypted with."""
        address("remote.listen", self.listen)
        in_range("remote.wait_s", self.wait_s, 0)
        if self.certificate is not None and not self.tls:
            raise ConfigError(f"remote.certificate={self.certificate!r} needs remote.tls=true")

    @property
    def certificate_path(self) -> Path:
        """Where certificate and key are, or are to be made."""
        return cache_dir() / "remote.pem" if self.certificate is None else Path(self.certificate)

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
        self.certificate = _certificate(options.certificate_path) if options.tls else None
        try:
            self._listener = socket.create_server((self.host, port), backlog=_BACKLOG)
        except OSError as error:
            reason = os.strerror(error.errno or 0)  # the error's own words have the address once more
            raise ConfigError(f"remote.listen={options.listen!r} cannot be listened on: {reason}") from error
        self.port: int = self._listener.getsockname()[1]
        self.devices: list[JoinedDevice] = []
        """In the order in which they joined."""
        self._entering: dict[control.Inbox, tuple[str, float]] = {}
        """What has proven to be a device and not yet said which -> its host, and until when it may."""
        self._key_of: KeyOf = _nobodys
        self._reception = Reception(
            self._listener,
            HARNESS,
            lambda name: self.token if name == DEVICE else self._key_of(name),
            _MOST_AT_ONCE,
            self.certificate,
            lambda host, reason: _say(f"refused {host}: {reason}"),
        )

    def gather(self, groups: Sequence[Sequence[str]]) -> list[JoinedDevice]:
        """A device for each group of participants, waiting for those that are not here. Raises UnavailableError."""
        until_s = time.monotonic() + self.options.wait_s
        told = 0
        while True:
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
            self.admit(_nobodys, _GLANCE_S)

    def command(self) -> str:
        """What to run on a device."""
        host = own_address() if self.host == EVERYWHERE else self.host
        tls = " --tls" if self.options.tls else ""
        return f"ppbench participant --connect {host}:{self.port} --token-file {self.options.token_path.name}{tls}"

    def admit(self, key_of: KeyOf, wait_s: float) -> Introduced | None:
        """Who proves within `wait_s` to be a party, by the key of its name; a device is let in on the way."""
        self._key_of = key_of
        admitted = self._reception.admit(wait_s, [inbox.connection.socket for inbox in self._entering])
        if admitted:
            host, introduced = admitted
            keep_alive(introduced.socket)
            if introduced.name != DEVICE:
                return introduced
            inbox = control.Inbox(introduced.connection(authenticated=True))
            self._entering[inbox] = host, time.monotonic() + reception.TIMEOUT_S
        self._let_in()
        return None

    def close(self) -> None:
        """Tell all devices that it is over."""
        self._reception.close()
        self._listener.close()
        for inbox in self._entering:
            inbox.connection.close()
        for device in self.devices:
            device.dismiss()
        self.devices.clear()

    def _let_in(self) -> None:
        """The devices that have said which they are."""
        for inbox, (host, until_s) in list(self._entering.items()):
            try:
                words = inbox.arrived()
                if not words and not inbox.connection.ended and time.monotonic() < until_s:
                    continue
                if not words:
                    raise ProtocolError("a device said nothing")
                self._join(inbox, *words[0], host)
            except (ProtocolError, PeerGone) as error:
                _say(f"refused {host}: {error}")
                inbox.connection.close()
            del self._entering[inbox]

    def _join(self, inbox: control.Inbox, word: str, said: Tree, host: str) -> None:
        if word != "join":
            raise ProtocolError(f"a device said {word!r} instead of 'join'")
        try:
            # Before anything else is read: of another version's words no more can be known.
            theirs = said["machine"]["ppbench_version"]
            device = JoinedDevice(inbox, said)
        except (KeyError, TypeError):
            raise ProtocolError("a device does not say all that joins it") from None
        if theirs != ppbench.__version__:
            reason = f"it has ppbench {theirs}, the harness has ppbench {ppbench.__version__}"
            control.send(inbox.connection, "refused", {"reason": reason})
            raise ProtocolError(reason)
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


def _certificate(path: Path) -> Certificate:
    from ppbench.wire.tls import Certificate, make_certificate

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            make_certificate(path)
        refuse_shared("the certificate's file", path)
    except OSError as error:
        raise ConfigError(f"the certificate {path} cannot be made or read: {error.strerror}") from error
    return Certificate(path)


def _nobodys(name: str) -> bytes | None:
    """The key of a party, while no run awaits one."""
    return None


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
