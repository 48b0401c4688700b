"""A connection that is encrypted, and only between the two whose key is in its handshake."""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ppbench.errors import ConfigError, ProtocolError
from ppbench.wire import handshake
from ppbench.wire.connection import CHANNEL, Connection, wait_readable
from ppbench.wire.message import decode, encode
from ppbench.wire.tls import Certificate, Encryption, make_certificate
from tests.helpers.ends import admitted, at_once

KEY = bytes(range(32))
NAMES = ("participant-0", "coordinator")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    path = tmp_path_factory.mktemp("tls") / "remote.pem"
    make_certificate(path)
    assert path.stat().st_mode & 0o777 == 0o600
    return Certificate(path)


@contextlib.contextmanager
def encrypted(certificate: Certificate) -> Iterator[tuple[Connection, Connection]]:
    ends: dict[str, Connection] = {}
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            party = admitted(listener, NAMES[1], {NAMES[0]: KEY}.get, certificate)
            ends[party.name] = party.connection(authenticated=True)

        def connect() -> None:
            party = handshake.connect(listener.getsockname(), *NAMES, KEY, Encryption())
            ends[party.name] = party.connection(authenticated=True)

        at_once(listen, connect)
    try:
        yield ends[NAMES[0]], ends[NAMES[1]]
    finally:
        for end in ends.values():
            end.close()


def test_frames_pass_both_ways_at_once_and_what_encryption_adds_is_counted_apart(certificate: Certificate) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, size, np.uint8) for size in (0, 1, 16_384, 70_000, 20_000_000, 5)]
    frames = [encode("x", [array, array]) for array in arrays]
    with encrypted(certificate) as (one, other):

        def party(connection: Connection) -> None:
            for array, frame in zip(arrays, frames, strict=True):
                connection.send(frame)
                assert all((came == array).all() for came in decode(connection.receive()).arrays)

        before = one.payload(), other.payload()
        at_once(lambda: party(one), lambda: party(other))
        one.waiting()
        framed = sum(sum(map(len, frame)) for frame in frames)
        for connection, old in zip((one, other), before, strict=True):
            payload = connection.payload()
            assert (payload.sent, payload.received, payload.source) == (framed, framed, CHANNEL)
            assert payload.authentication_bytes_sent == payload.authentication_bytes_received == 16 * len(frames)
            # A record of up to 2^14 bytes has 22 more: its head, its type and its own tag.
            assert payload.tls_bytes_sent is not None
            assert old.tls_bytes_sent is not None
            assert (payload.tls_bytes_sent - old.tls_bytes_sent) % 22 == 0
            assert payload.tls_bytes_sent - old.tls_bytes_sent >= 22 * (framed >> 14)


def test_nothing_that_is_here_is_overlooked(certificate: Certificate) -> None:
    """Many small frames in one segment: what is decrypted and not yet read is no event for the kernel."""
    with encrypted(certificate) as (one, other):
        for i in range(500):
            one.send(encode(str(i), [np.zeros(i % 30, np.uint8)]))
        for i in range(500):
            assert wait_readable([other], 10.0) == [other]
            while not other.has_frame:
                other.drain()
            assert decode(other.receive()).name == str(i)
        one.close()
        while not other.ended:
            wait_readable([other], 10.0)
            other.drain()


def test_who_ends_the_encryption_between_the_two_is_found_out_by_both(tmp_path: Path, certificate: Certificate) -> None:
    """A relay with a certificate of its own: it reads both ways, and hears a handshake that fails."""
    make_certificate(tmp_path / "other.pem")
    own = Certificate(tmp_path / "other.pem")
    refusals: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as true, socket.create_server(("127.0.0.1", 0)) as false:

        def relay() -> None:
            connector = own.listening(false.accept()[0])
            listener = Encryption().connecting(socket.create_connection(true.getsockname()))
            with connector, listener:
                other = {connector: listener, listener: connector}
                while True:
                    for sock in select.select(list(other), [], [], 10.0)[0]:
                        if not (part := sock.recv(1 << 16)):
                            return
                        other[sock].send(part)

        def listen() -> None:
            reception = handshake.Conversation(
                certificate.listening(true.accept()[0]),
                handshake.listening(NAMES[1], {NAMES[0]: KEY}.get, certificate.digest),
            )
            try:
                while reception.advance() is None:
                    threading.Event().wait(0.01)
            except Exception as error:
                refusals.append(str(error))

        def connect() -> None:
            with pytest.raises(ProtocolError, match="is not coordinator of this run"):
                handshake.connect(false.getsockname(), *NAMES, KEY, Encryption())

        at_once(relay, listen, connect)
    assert refusals == ["closed by the other end"]


def test_what_makes_a_certificate_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(ConfigError, match=r"pip install 'cryptography>=42', or name a file"):
        make_certificate(tmp_path / "remote.pem")


def test_a_file_without_a_certificate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.pem"
    path.write_text("nothing")
    with pytest.raises(ConfigError, match=f"{path} holds no certificate with its unencrypted key, as PEM"):
        Certificate(path)
