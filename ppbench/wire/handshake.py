"""Both ends of a new connection prove that they know a key before either sends anything else.

    connector -> listener   its nonce | length of its name | its name
    listener  -> connector  its nonce | derive(key, "listener's proof", transcript)
    connector -> listener   derive(key, "connector's proof", transcript)
    listener  -> connector  1

The transcript is both nonces, 32 bytes each from the operating system, both names, and the digest of the listener's
certificate where the connection is encrypted (`tls`). The key is that of the two names (`authentication`).

Why it holds. A proof is a pseudorandom function of a key that only the two have and of a nonce that its verifier has
just chosen: it was made by the other one, now, for this connection. The two proofs differ in their purpose, so neither
can be sent back as the other; names are in the transcript, so nobody is passed off as another party. A relay between
two honest ends can forward all of this. It then knows no key of the frames that follow: those are derived from the same
transcript and never sent. An encrypted connection that ends at a relay has another certificate at each side, so the
proofs fail: what pins the certificate is the key, and no authority vouches for anybody. The last byte proves nothing,
and only tells early who was refused. A stranger learns a nonce and a pseudorandom value, not which names exist.
"""

from __future__ import annotations

import dataclasses
import hmac
import os
import select
import socket
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, TypeAlias

from ppbench.errors import PeerGone, ProtocolError
from ppbench.wire.authentication import KEY_BYTES, Authentication, Tags, derive
from ppbench.wire.connection import Connection

if TYPE_CHECKING:
    from ppbench.wire.tls import Encryption

PATIENCE_S = 30.0
"""How long one who connects waits for the listener, which may be busy."""
_NONCE_BYTES = 32
_PROOF_BYTES = KEY_BYTES
_ACCEPTED = b"\x01"
_AT_ONCE = int(socket.MSG_DONTWAIT)

Proven: TypeAlias = tuple[str, Authentication]
"""The other end's name, and the tags of what is sent from now on."""
Dialogue: TypeAlias = Generator[tuple[bytes, int], bytes, Proven]
"""One end's part: yields what to say, and how many bytes to hear then. Raises ProtocolError."""
KeyOf: TypeAlias = Callable[[str], bytes | None]


@dataclasses.dataclass(frozen=True)
class Introduced:
    """A connection whose other end has proven its name."""

    name: str
    socket: socket.socket
    authentication: Authentication

    def connection(self, authenticated: bool, siblings: list[Connection] | None = None) -> Connection:
        """For frames, with tags where the network between the two ends is not to be trusted."""
        return Connection(self.socket, siblings, self.authentication if authenticated else None)


def pair_key(run_key: bytes, one: str, other: str) -> bytes:
    """The key of two parties, which nobody computes without the run's."""
    return derive(run_key, "pair", *(name.encode() for name in sorted((one, other))))


def connect(
    address: tuple[str, int], own: str, peer: str, key: bytes, encryption: Encryption | None = None
) -> Introduced:
    """A connection to `peer` at (host, port).

    Raises PeerGone if nobody is there, ProtocolError if it is not `peer`; what ended amid the handshake is its cause.
    """
    try:
        sock = socket.create_connection(address, timeout=PATIENCE_S)
    except OSError as error:
        raise PeerGone(f"{peer} cannot be reached at {address[0]}:{address[1]} ({error})") from error
    return _introduced(sock, f"{address[0]}:{address[1]}", own, peer, key, encryption)


def connect_locally(path: str, own: str, peer: str, key: bytes) -> Introduced:
    """The same to a UNIX socket's path, which leads from one network namespace into another."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(path)
    except OSError as error:
        sock.close()
        raise PeerGone(f"{peer} cannot be reached at {path} ({error})") from error
    return _introduced(sock, path, own, peer, key, None)


def _introduced(
    sock: socket.socket, address: str, own: str, peer: str, key: bytes, encryption: Encryption | None
) -> Introduced:
    until_s = time.monotonic() + PATIENCE_S
    certificate: Callable[[], bytes] = bytes
    try:
        sock.setblocking(True)
        if encryption is not None:
            sock = encrypted = encryption.connecting(sock)
            certificate = encrypted.certificate_digest
        conversation = Conversation(sock, connecting(address, own, peer, key, certificate))
        while (proven := conversation.advance()) is None:
            poller = select.poll()
            poller.register(sock, select.POLLIN)
            if not poller.poll(1000 * max(0.0, until_s - time.monotonic())):
                raise TimeoutError("timed out")
    except (OSError, PeerGone) as error:
        sock.close()
        raise ProtocolError(f"{peer} did not accept {own} ({error})") from error
    except BaseException:
        sock.close()
        raise
    return Introduced(proven[0], sock, proven[1])


def connecting(address: str, own: str, peer: str, key: bytes, certificate: Callable[[], bytes] = bytes) -> Dialogue:
    """The part of who connects; `certificate` is the digest of the one it was shown, if any."""
    nonce, name = os.urandom(_NONCE_BYTES), own.encode()
    theirs = yield nonce + bytes([len(name)]) + name, _NONCE_BYTES
    proof = yield b"", _PROOF_BYTES
    transcript = nonce, theirs, name, peer.encode(), certificate()
    if not hmac.compare_digest(proof, derive(key, "listener's proof", *transcript)):
        raise ProtocolError(f"who listens at {address} is not {peer} of this run")
    yield derive(key, "connector's proof", *transcript), len(_ACCEPTED)
    to_listener, to_connector = _tags(key, *transcript)
    return peer, Authentication(sending=to_listener, receiving=to_connector)


def listening(own: str, key_of: KeyOf, certificate: bytes = b"") -> Dialogue:
    """The part of who listens; `certificate` is the digest of the one it shows, if any."""
    theirs = yield b"", _NONCE_BYTES
    (length,) = yield b"", 1
    name = yield b"", length
    key = key_of(name.decode(errors="replace"))
    nonce = os.urandom(_NONCE_BYTES)
    transcript = theirs, nonce, name, own.encode(), certificate
    # A stranger's name gets a proof too, made with a random key: the answer does not tell which names exist.
    proof = yield nonce + derive(key or os.urandom(KEY_BYTES), "listener's proof", *transcript), _PROOF_BYTES
    if key is None or not hmac.compare_digest(proof, derive(key, "connector's proof", *transcript)):
        raise ProtocolError("a stranger connected who does not know the run's secret")
    yield _ACCEPTED, 0
    to_listener, to_connector = _tags(key, *transcript)
    return name.decode(), Authentication(sending=to_connector, receiving=to_listener)


def _tags(key: bytes, *transcript: bytes) -> tuple[Tags, Tags]:
    """Of the frames to the listener, and of those to the connector."""
    to_listener, to_connector = (derive(key, purpose, *transcript) for purpose in ("to listener", "to connector"))
    return Tags(to_listener), Tags(to_connector)


class Conversation:
    """One end's part over a socket, as far as it goes without waiting."""

    def __init__(self, sock: socket.socket, dialogue: Dialogue) -> None:
        self._socket = sock
        self._dialogue = dialogue
        self._to_say, self._awaited = next(dialogue)
        self._heard = b""

    def advance(self) -> Proven | None:
        """What was proven; None while more must come first. Raises ProtocolError, PeerGone or another OSError."""
        try:
            while True:
                while self._to_say:
                    self._to_say = self._to_say[self._socket.send(self._to_say, _AT_ONCE) :]
                while len(self._heard) < self._awaited:
                    part = self._socket.recv(self._awaited - len(self._heard), _AT_ONCE)
                    if not part:
                        raise PeerGone("closed by the other end")
                    self._heard += part
                heard, self._heard = self._heard, b""
                self._to_say, self._awaited = self._dialogue.send(heard)
        except BlockingIOError:
            return None
        except StopIteration as end:
            proven: Proven = end.value
            return proven
