"""What the harness and a device on another machine agree on before a run: a token that both hold, and nothing else.

A device stays connected to the harness from run to run. The words on this connection, each with a tree:

    device  -> harness   join: its machine, the host it dialled, the index it asks for; ended: how a run ended
    harness -> device    refused: why; run: the parties to run; end: that run, now; over: there will be no more
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from pathlib import Path

from ppbench.errors import ConfigError
from ppbench.wire import handshake

DEVICE = "device"
HARNESS = "harness"
_TOKEN_BYTES = 32
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
    """The token in a file. Raises ConfigError."""
    try:
        token = bytes.fromhex(path.read_text().strip())
    except OSError as error:
        raise ConfigError(f"the token file {path} cannot be read: {error.strerror}") from error
    except ValueError:
        token = b""
    if len(token) != _TOKEN_BYTES:
        raise ConfigError(f"the token file {path} must hold {2 * _TOKEN_BYTES} hexadecimal digits")
    return token


def run_key(token: bytes, nonce: str) -> bytes:
    """The key of one run, which who listens cannot make of the nonce without the token."""
    return handshake.pair_key(token, "run", nonce)


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
