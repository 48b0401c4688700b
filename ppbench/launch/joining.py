"""What the harness and a device on another machine agree on before a run: a token that both hold, and nothing else.

A device stays connected to the harness from run to run. The words on this connection, whose frames are authenticated
(`ppbench.wire.authentication`), each with a tree:

    device  -> harness   join: its machine, the host it dialled, the index it asks for; ended: how a run ended
    harness -> device    refused: why; run: the parties to run; end: that run, now; over: there will be no more
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import secrets
import socket
import stat
from pathlib import Path

from ppbench.bundle import Tree
from ppbench.errors import ConfigError, ProtocolError
from ppbench.scheme import PARTICIPANT
from ppbench.wire.authentication import derive

DEVICE = "device"
HARNESS = "harness"
_TOKEN_BYTES = 32
_NONCE = re.compile(r"[0-9a-f]{32}")
_PARTY = re.compile(rf"{PARTICIPANT}-[0-9]{{1,9}}")
_MOST_THREADS = 1024
_SILENT_S = 5
"""After so long without a sign of the other machine it is asked for one, three times."""


def address(option: str, text: str) -> tuple[str, int]:
    """The host and the port in HOST:PORT. Raises ConfigError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 0xFFFF:
        raise ConfigError(f"{option}={text!r} must be HOST:PORT, with a port from 0 to 65535")
    return host, int(port)


def make_token(path: Path) -> None:
    """Write a new token, readable by its owner alone. Raises FileExistsError or another OSError."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(_TOKEN_BYTES) + "\n")


def read_token(path: Path) -> bytes:
    """The token in a file that its owner alone can read. Raises ConfigError."""
    try:
        refuse_shared("the token file", path)
        token = bytes.fromhex(path.read_text().strip())
    except OSError as error:
        raise ConfigError(f"the token file {path} cannot be read: {error.strerror}") from error
    except ValueError:
        token = b""
    if len(token) != _TOKEN_BYTES:
        raise ConfigError(f"the token file {path} must hold {2 * _TOKEN_BYTES} hexadecimal digits")
    return token


def refuse_shared(what: str, path: Path) -> None:
    """Raise ConfigError if others than its owner can read or change a file, OSError if there is none."""
    mode = path.stat().st_mode
    if stat.S_ISREG(mode) and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"{what} {path} can be read or changed by others: chmod 600 {path}")


def run_key(token: bytes, nonce: str) -> bytes:
    """The key of one run, which who listens cannot make of the nonce without the token."""
    return derive(token, "run", nonce.encode())


@dataclasses.dataclass(frozen=True)
class RunOrder:
    """What a device is told of a run before its parties are: raises ProtocolError for what no harness says."""

    parties: list[str]
    """Participants, which share a process."""
    nonce: str
    """What the run's key is derived from."""
    threads: int

    def __post_init__(self) -> None:
        """See the class."""
        if not isinstance(self.parties, list) or not self.parties or not all(map(_is_participant, self.parties)):
            raise ProtocolError(f"a run of {self.parties!r}, where the names of participants are due")
        if not isinstance(self.nonce, str) or not _NONCE.fullmatch(self.nonce):
            raise ProtocolError("a run with a nonce of other than 32 hexadecimal digits")
        if type(self.threads) is not int or not 1 <= self.threads <= _MOST_THREADS:
            raise ProtocolError(f"a run with {self.threads!r} threads, where 1 to {_MOST_THREADS} are due")

    @classmethod
    def from_tree(cls, tree: Tree) -> RunOrder:
        """What `vars` took apart. Raises ProtocolError."""
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(tree, dict) or tree.keys() != names:
            raise ProtocolError(f"a run that is not told by {', '.join(sorted(names))}")
        return cls(**tree)


def _is_participant(name: object) -> bool:
    return isinstance(name, str) and _PARTY.fullmatch(name) is not None


def keep_alive(sock: socket.socket) -> None:
    """Let the kernel find out that the other machine is gone: one that loses power says no goodbye."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", _SILENT_S),
        ("TCP_KEEPINTVL", _SILENT_S),
        ("TCP_KEEPCNT", 3),
        # While something sent is not acknowledged, no sign is asked for.
        ("TCP_USER_TIMEOUT", 4 * _SILENT_S * 1000),
    ):
        with contextlib.suppress(AttributeError, OSError):  # not every system has every one
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
