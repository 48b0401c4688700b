"""Frames over a stream: whole, in order, never blocking in a circle, and never dearer than what has arrived."""

from __future__ import annotations

import select
import socket
import struct
import time
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppbench.errors import PeerGone, ProtocolError
from ppbench.wire.connection import Connection, wait_readable
from ppbench.wire.message import MAX_FRAME_BYTES, SIZE_BYTES, decode, encode
from tests.helpers.ends import at_once, connections, sockets

MANY = 50_000_000


def frame(n_bytes: int, name: str = "samples") -> bytes:
    return b"".join(encode(name, [np.arange(n_bytes, dtype=np.uint8)]))


def read(connection: Connection, n_frames: int) -> list[bytes]:
    return [bytes(connection.receive()) for _ in range(n_frames)]


@pytest.fixture(params=["tcp", "memory"])
def raw(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, Connection]]:
    """A plain socket that says what it likes, and the connection at its other end."""
    ours, theirs = sockets(request.param)
    with ours:
        connection = Connection(theirs)
        yield ours, connection
        connection.close()


def test_a_frame_may_be_split_anywhere(raw: tuple[socket.socket, Connection]) -> None:
    ours, connection = raw
    frames = [frame(5), frame(0), frame(300)]
    stream = b"".join(frames)
    for cut in range(1, len(stream)):
        ours.sendall(stream[:cut])
        wait_readable([connection], None)
        connection.drain()
        ours.sendall(stream[cut:])
        assert read(connection, 3) == [each[SIZE_BYTES:] for each in frames]
    assert not connection.has_frame
    assert connection.frame_bytes_received == len(stream) * (len(stream) - 1)


def test_a_frame_may_come_byte_by_byte(raw: tuple[socket.socket, Connection]) -> None:
    ours, connection = raw
    stream = frame(30) + frame(2)
    for byte in stream:
        ours.sendall(bytes([byte]))
        wait_readable([connection], None)
        connection.drain()
    assert read(connection, 2) == [frame(30)[SIZE_BYTES:], frame(2)[SIZE_BYTES:]]


@given(st.lists(st.sampled_from([0, 1, 700, 65_000, 65_536, 200_000]), max_size=6), st.data())
def test_frames_and_reads_need_not_coincide(sizes: list[int], data: st.DataObject) -> None:
    frames = [frame(size) for size in sizes]
    stream = b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    ours, theirs = sockets("memory")
    with ours:
        connection = Connection(theirs)

        def send() -> None:
            for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
                ours.sendall(stream[start:end])

        def receive() -> None:
            assert read(connection, len(frames)) == [each[SIZE_BYTES:] for each in frames]

        at_once(send, receive)
        connection.close()


@pytest.mark.parametrize("n_frames", [100, 5000])
def test_many_frames_in_one_segment(n_frames: int, raw: tuple[socket.socket, Connection]) -> None:
    ours, connection = raw
    stream = b"".join(frame(i % 30) for i in range(n_frames))

    def receive() -> None:
        for i in range(n_frames):
            assert decode(connection.receive()).arrays[0].size == i % 30

    at_once(lambda: ours.sendall(stream), receive)
    assert not connection.has_frame


@pytest.mark.parametrize("kind", ["tcp", "memory"])
def test_a_large_frame_passes_whole(kind: str) -> None:
    sent = np.random.default_rng(0).integers(0, 256, 10_000_001, np.uint8)
    with connections("ab", kind=kind) as ends:
        at_once(
            lambda: ends["ab"].send(encode("x", [sent, np.arange(7), sent])),
            lambda: np.testing.assert_array_equal(decode(ends["ba"].receive()).arrays[2], sent),
        )
        assert ends["ab"].frame_bytes_sent == ends["ba"].frame_bytes_received


@pytest.mark.parametrize("kind", ["tcp", "memory"])
@pytest.mark.parametrize("parties", ["ab", "abc"])
def test_all_may_send_at_once(parties: str, kind: str) -> None:
    ring = list(zip(parties, parties[1:] + parties[0], strict=True))
    buffers = encode("x", [np.zeros(MANY, np.uint8)])
    pairs = {"".join(sorted(one + other)) for one, other in ring}
    with connections(*pairs, kind=kind) as ends:

        def program(before: str, own: str, after: str) -> None:
            ends[own + after].send(buffers)
            assert decode(ends[own + before].receive()).n_bytes == MANY

        following = dict(ring)
        at_once(*(lambda b=b, o=o: program(b, o, following[o]) for b, o in ring))


@pytest.mark.parametrize("waiting", ["receive", "wait_readable"])
def test_who_waits_for_one_peer_takes_what_another_sends(waiting: str) -> None:
    large, word = encode("x", [np.zeros(MANY // 5, np.uint8)]), encode("go", [])
    with connections("ab", "bc", "ac") as ends:

        def a() -> None:
            ends["ab"].send(large)
            ends["ac"].send(word)

        def b() -> None:  # c speaks when a has, and a only when b has taken the large message
            if waiting == "wait_readable":
                assert wait_readable([ends["bc"]], None) == [ends["bc"]]
            assert decode(ends["bc"].receive()).name == "go"
            assert decode(ends["ba"].receive()).name == "x"

        def c() -> None:
            ends["ca"].receive()
            ends["cb"].send(word)

        at_once(a, b, c)


def test_a_peer_that_has_gone(raw: tuple[socket.socket, Connection]) -> None:
    ours, connection = raw
    ours.sendall(frame(3) + frame(1000)[:500])
    ours.close()
    assert len(connection.receive()) == len(frame(3)) - SIZE_BYTES
    for _ in range(2):
        with pytest.raises(PeerGone):
            connection.receive()
    assert connection.ended
    connection.drain()
    with pytest.raises(PeerGone):
        connection.send(encode("large", [np.zeros(MANY, np.uint8)]))


def test_a_connection_closed_at_this_end(raw: tuple[socket.socket, Connection]) -> None:
    _, connection = raw
    connection.close()
    connection.close()
    with pytest.raises(PeerGone):
        connection.receive()
    with pytest.raises(PeerGone):
        connection.send(encode("x", []))


def test_the_peer_goes_while_this_end_sends() -> None:
    with connections("ab") as ends:

        def go() -> None:
            ends["ba"].receive()
            ends["ba"].close()

        def send() -> None:
            ends["ab"].send(encode("small", []))
            with pytest.raises(PeerGone):
                ends["ab"].send(encode("large", [np.zeros(MANY, np.uint8)]))

        at_once(go, send)


def test_a_send_ends_at_its_deadline(raw: tuple[socket.socket, Connection]) -> None:
    _, connection = raw
    with pytest.raises(TimeoutError):
        connection.send(encode("large", [np.zeros(MANY, np.uint8)]), time.monotonic() + 0.1)


def test_claiming_much_and_going_is_no_message(raw: tuple[socket.socket, Connection]) -> None:
    ours, connection = raw
    ours.sendall(struct.pack("<I", 900_000_000) + bytes(10))
    ours.close()
    with pytest.raises(PeerGone):
        connection.receive()


@pytest.mark.parametrize("size", [0, 4, MAX_FRAME_BYTES + 1, 2 << 30, 0xFFFFFFFF])
def test_what_is_no_size_ends_the_connection(size: int, raw: tuple[socket.socket, Connection]) -> None:
    ours, connection = raw
    ours.sendall(frame(3) + struct.pack("<I", size) + frame(3))
    assert bytes(connection.receive()) == frame(3)[SIZE_BYTES:]
    for _ in range(2):
        with pytest.raises(ProtocolError, match=str(size)):
            connection.receive()
        with pytest.raises(ProtocolError, match=str(size)):
            connection.drain()
    assert not connection.has_frame


@pytest.mark.parametrize(("n_claimed", "n_sent"), [(1 << 30, 10), (1 << 30, 3_000_000), (900_000_000, 70_000)])
def test_a_claim_costs_what_arrives(n_claimed: int, n_sent: int, raw: tuple[socket.socket, Connection]) -> None:
    ours, connection = raw
    stream = struct.pack("<I", n_claimed) + bytes(n_sent)

    def send() -> None:
        ours.sendall(stream)
        ours.shutdown(socket.SHUT_RDWR)

    def receive() -> None:
        with pytest.raises(PeerGone):
            connection.receive()

    tracemalloc.start()
    try:
        at_once(send, receive)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000 + 4 * n_sent
    finally:
        tracemalloc.stop()


@given(st.binary(min_size=1, max_size=300))
def test_random_bytes_are_frames_or_errors(received: bytes) -> None:
    ours, theirs = sockets("memory")
    connection = Connection(theirs)
    with ours:
        ours.sendall(received)

    def hear() -> None:
        while True:
            decode(connection.receive())

    with pytest.raises((ProtocolError, PeerGone)):
        hear()
    connection.close()


def test_garbage_from_one_peer_is_not_anothers_fault() -> None:
    with connections("ab", "bc") as ends:
        ends["cb"].socket.sendall(b"\xff" * 10)

        def b() -> None:
            ends["ba"].send(encode("large", [np.zeros(MANY, np.uint8)]))
            ends["ba"].receive()
            with pytest.raises(ProtocolError):
                ends["bc"].receive()

        def a() -> None:
            select.select([ends["ab"]], [], [], 0.1)
            ends["ab"].receive()
            ends["ab"].send(encode("thanks", []))

        at_once(a, b)


def test_waiting_for_any() -> None:
    with connections("ab", "ac", "ad") as ends:
        mine = [ends["ab"], ends["ac"]]
        assert wait_readable([], 0.0) == []
        assert wait_readable(mine, 0.01) == []
        ends["da"].send(encode("x", []))
        assert wait_readable(mine, 0.01) == []
        assert ends["ad"].has_frame
        ends["ca"].send(encode("x", []))
        assert wait_readable(mine, None) == [ends["ac"]]
        ends["ac"].drain()
        assert wait_readable(mine, None) == [ends["ac"]]
        ends["ac"].receive()
        ends["ba"].close()
        assert wait_readable(mine, None) == [ends["ab"]]
