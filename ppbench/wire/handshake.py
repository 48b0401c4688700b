"""Both ends of a new connection prove that they know the run's secret before either sends anything else.

It says who speaks; it does not encrypt, so that what is counted is what a scheme itself sends.
"""

from __future__ import annotations

import hmac
import os
import socket
import time
from collections.abc import Callable

from ppbench.errors import PeerGone, ProtocolError

TIMEOUT_S = 5.0
"""How long a listener hears one who connects."""
PATIENCE_S = 30.0
"""How long one who connects waits for the listener, which may have to hear strangers out before."""
_NONCE_BYTES = 32
_PROOF_BYTES = 32
_ACCEPTED = b"\x01"


def pair_key(secret: bytes, one: str, other: str) -> bytes:
    """The key that two parties share and no third one can compute without the run's secret."""
    return hmac.digest(secret, "\0".join(sorted((one, other))).encode(), "sha256")


def connect(address: tuple[str, int], own: str, peer: str, key: bytes) -> socket.socket:
    """A socket to `peer` at (host, port). Raises PeerGone if nobody is there, ProtocolError if it is not `peer`."""
    try:
        sock = socket.create_connection(address, timeout=PATIENCE_S)
    except OSError as error:
        raise PeerGone(f"{peer} cannot be reached at {address[0]}:{address[1]} ({error})") from error
    return introduce(sock, f"{address[0]}:{address[1]}", own, peer, key)


def connect_locally(path: str, own: str, peer: str, key: bytes) -> socket.socket:
    """The same to a UNIX socket's path, which leads from one network namespace into another."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(path)
    except OSError as error:
        sock.close()
        raise PeerGone(f"{peer} cannot be reached at {path} ({error})") from error
    return introduce(sock, path, own, peer, key)


def introduce(sock: socket.socket, address: str, own: str, peer: str, key: bytes) -> socket.socket:
    """The same over a socket that is connected to `address`."""
    until_s = time.monotonic() + PATIENCE_S
    try:
        nonce, name = os.urandom(_NONCE_BYTES), own.encode()
        sock.sendall(nonce + bytes([len(name)]) + name)
        theirs = _exactly(sock, _NONCE_BYTES, until_s)
        transcript = nonce + theirs + name
        if not hmac.compare_digest(_exactly(sock, _PROOF_BYTES, until_s), _proof(key, b"listener", transcript)):
            raise ProtocolError(f"who listens at {address} is not {peer} of this run")
        sock.sendall(_proof(key, b"connector", transcript))
        _exactly(sock, len(_ACCEPTED), until_s)
    except (OSError, PeerGone) as error:
        sock.close()
        raise ProtocolError(f"{peer} did not accept {own} ({error})") from error
    except BaseException:
        sock.close()
        raise
    return sock


def accept(sock: socket.socket, key_of: Callable[[str], bytes | None]) -> str:
    """The proven name of who connected. Raises ProtocolError for a stranger, after at most `TIMEOUT_S`."""
    until_s = time.monotonic() + TIMEOUT_S
    try:
        theirs = _exactly(sock, _NONCE_BYTES, until_s)
        name = _exactly(sock, _exactly(sock, 1, until_s)[0], until_s)
        key = key_of(name.decode(errors="replace"))
        nonce = os.urandom(_NONCE_BYTES)
        transcript = theirs + nonce + name
        # A stranger's name gets a proof too, made with a random key: the answer does not tell which names exist.
        sock.sendall(nonce + _proof(key or os.urandom(_PROOF_BYTES), b"listener", transcript))
        proof = _exactly(sock, _PROOF_BYTES, until_s)
        if key is None or not hmac.compare_digest(proof, _proof(key, b"connector", transcript)):
            raise ProtocolError("a stranger connected who does not know the run's secret")
        sock.sendall(_ACCEPTED)
    except (OSError, PeerGone) as error:
        raise ProtocolError(f"a connection ended before it was authenticated ({error})") from error
    return name.decode()


def _proof(key: bytes, end: bytes, transcript: bytes) -> bytes:
    return hmac.digest(key, end + transcript, "sha256")


def _exactly(sock: socket.socket, n_bytes: int, until_s: float) -> bytes:
    received = bytearray()
    while len(received) < n_bytes:
        # For the whole handshake, or a stranger who sends a byte now and then would hold the door for minutes.
        sock.settimeout(max(0.001, until_s - time.monotonic()))
        part = sock.recv(n_bytes - len(received))
        if not part:
            raise PeerGone("closed by the other end")
        received += part
    return bytes(received)
