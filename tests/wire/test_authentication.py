"""Frames on a network that others can change: what arrives is what was sent, in order, or the connection ends."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ppbench.errors import PeerGone, ProtocolError
from ppbench.wire.authentication import TAG_BYTES, Authentication, Tags, derive
from ppbench.wire.connection import Connection
from ppbench.wire.handshake import Conversation, Proven, connecting, listening, pair_key
from ppbench.wire.message import SIZE_BYTES, decode, encode
from tests.helpers.ends import at_once, sockets

KEY = bytes(range(32))
N_FRAMES = 5
N_STREAMS = 20_000
names = st.text(min_size=1, max_size=20)


def meet(key: bytes, own: str, peer: str, shown: bytes = b"", seen: bytes = b"") -> tuple[Authentication, ...]:
    """What both ends of a handshake hold after it: the connector's, and the listener's."""
    ours, theirs = sockets("memory")
    with ours, theirs:
        connector = Conversation(ours, connecting("here", own, peer, key, lambda: seen))
        listener = Conversation(theirs, listening(peer, {own: key}.get, shown))
        ends: tuple[Proven | None, Proven | None] = None, None
        while not all(ends):
            ends = ends[0] or connector.advance(), ends[1] or listener.advance()
    assert ends[0] is not None
    assert ends[1] is not None
    assert (ends[0][0], ends[1][0]) == (peer, own)
    return ends[0][1], ends[1][1]


def tag(tags: Tags) -> bytes:
    """By which a test knows a key that is never shown."""
    return Tags.next(tags, [b"a frame"])


@given(st.binary(min_size=32, max_size=32), names, names)
def test_both_ends_derive_the_same_keys_and_no_two_alike(key: bytes, own: str, peer: str) -> None:
    (sends, hears), (answers, listens) = ((end.sending, end.receiving) for end in meet(key, own, peer))
    first = tag(sends), tag(hears)
    assert first == (tag(listens), tag(answers))
    assert first[0] != first[1]
    again = meet(key, own, peer)[0]
    assert {tag(again.sending), tag(again.receiving)}.isdisjoint(first), "other nonces make other keys"


@given(st.lists(st.binary(max_size=4), max_size=3), st.lists(st.binary(max_size=4), max_size=3))
def test_other_parts_make_another_key_wherever_they_end(one: list[bytes], other: list[bytes]) -> None:
    assume(one != other)
    assert derive(KEY, "pair", *one) != derive(KEY, "pair", *other)
    assert derive(KEY, "pair", *one) != derive(KEY, "run", *one)
    assert derive(KEY, "pair", *one) != derive(bytes(32), "pair", *one)


@given(names, names, names)
def test_a_key_is_of_two_names(one: str, other: str, third: str) -> None:
    assume(third != other)
    assert pair_key(KEY, one, other) == pair_key(KEY, other, one)
    assert pair_key(KEY, one, other) != pair_key(KEY, one, third)


def test_who_was_shown_another_certificate_knows_the_listener_for_another() -> None:
    with pytest.raises(ProtocolError, match="is not coordinator of this run"):
        meet(KEY, "participant-0", "coordinator", shown=bytes(32), seen=bytes(range(32)))


def test_frames_pass_and_their_tags_are_counted_apart() -> None:
    """Small ones that share a segment, and a large one that comes in parts."""
    ours, theirs = sockets("tcp")
    one, other = meet(KEY, "a", "b")
    sender, receiver = Connection(ours, authentication=one), Connection(theirs, authentication=other)
    sizes = [0, 3, 70_000, 3_000_000, 1]

    def send() -> None:
        for size in sizes:
            sender.send(encode("x", [np.arange(size, dtype=np.uint8), np.arange(3.0)]))

    def receive() -> None:
        for size in sizes:
            np.testing.assert_array_equal(decode(receiver.receive()).arrays[0], np.arange(size, dtype=np.uint8))

    at_once(send, receive)
    framed = sum(sum(map(len, encode("x", [np.zeros(size, np.uint8), np.arange(3.0)]))) for size in sizes)
    sent, received = sender.payload(), receiver.payload()
    assert sent.sent == received.received == framed
    assert sent.authentication_bytes_sent == received.authentication_bytes_received == TAG_BYTES * len(sizes)
    assert (sent.authentication_bytes_received, sent.tls_bytes_sent) == (0, None)
    sender.close()
    receiver.close()


def test_the_tags_of_frames_that_nobody_has_read_are_no_payload() -> None:
    """The kernel has counted them: at a barrier between stages all that has arrived is looked at."""
    ours, theirs = sockets("tcp")
    one, other = meet(KEY, "a", "b")
    sender, receiver = Connection(ours, authentication=one), Connection(theirs, authentication=other)
    frames = [encode("x", [np.zeros(size, np.uint8)]) for size in (10, 100_000, 20)]
    for frame in frames:
        sender.send(frame)
    while receiver.payload().received < sender.payload().sent:
        receiver.waiting()
    receiver.waiting()
    assert receiver.payload().received == sender.payload().sent == sum(sum(map(len, frame)) for frame in frames)
    assert receiver.payload().authentication_bytes_received == TAG_BYTES * len(frames)
    sender.close()
    receiver.close()


def flipped(frames: list[bytes], lot: random.Random) -> list[bytes]:
    stream = bytearray(b"".join(frames))
    stream[lot.randrange(len(stream))] ^= 1 << lot.randrange(8)
    return [bytes(stream)]


def swapped(frames: list[bytes], lot: random.Random) -> list[bytes]:
    one, other = lot.sample(range(len(frames)), 2)
    frames[one], frames[other] = frames[other], frames[one]
    return frames


def left_out(frames: list[bytes], lot: random.Random) -> list[bytes]:
    del frames[lot.randrange(len(frames))]
    return frames


def replayed(frames: list[bytes], lot: random.Random) -> list[bytes]:
    again = lot.randrange(len(frames))
    frames.insert(lot.randrange(again + 1, len(frames) + 1), frames[again])
    return frames


def put_in(frames: list[bytes], lot: random.Random) -> list[bytes]:
    forged = b"".join(encode("spec", [np.zeros(lot.randrange(9))])) + lot.randbytes(TAG_BYTES)
    frames.insert(lot.randrange(len(frames) + 1), forged)
    return frames


def cut_short(frames: list[bytes], lot: random.Random) -> list[bytes]:
    stream = b"".join(frames)
    return [stream[: lot.randrange(len(stream))]]


def cut_out(frames: list[bytes], lot: random.Random) -> list[bytes]:
    stream = b"".join(frames)
    start = lot.randrange(len(stream))
    return [stream[:start] + stream[start + lot.randrange(1, 40) :]]


def renumbered(frames: list[bytes], lot: random.Random) -> list[bytes]:
    """The tag of one frame on another."""
    one, other = lot.sample(range(len(frames)), 2)
    frames[one] = frames[one][:-TAG_BYTES] + frames[other][-TAG_BYTES:]
    return frames


MISCHIEF: list[Callable[[list[bytes], random.Random], list[bytes]]] = [
    flipped,
    swapped,
    left_out,
    replayed,
    put_in,
    cut_short,
    cut_out,
    renumbered,
]


def hear_all(receiver: Connection, came: list[bytes]) -> None:
    while True:
        came.append(bytes(receiver.receive()))


def test_whatever_is_done_to_a_stream_no_other_frame_comes_out() -> None:
    """100,000 frames, each stream with one mischief: a beginning of what was sent, then an error."""
    lot = random.Random(0)
    frames = [b"".join(encode(f"word {i}", [np.arange(i * 3)])) for i in range(N_FRAMES)]
    tags = Tags(KEY)
    sent = [frame + tags.next([frame]) for frame in frames]
    for number in range(N_STREAMS):
        done = MISCHIEF[number % len(MISCHIEF)]
        stream = b"".join(done(list(sent), lot))
        ours, theirs = socket.socketpair()
        with ours:
            ours.sendall(stream)
        receiver = Connection(theirs, authentication=Authentication(Tags(bytes(32)), Tags(KEY)))
        came: list[bytes] = []
        with pytest.raises((ProtocolError, PeerGone)) as ended:
            hear_all(receiver, came)
        assert len(came) < N_FRAMES or ended.type is ProtocolError, done
        assert came == [frame[SIZE_BYTES:] for frame in frames[: len(came)]], done
        receiver.close()


def test_what_is_sent_back_is_no_answer() -> None:
    ours, theirs = sockets("memory")
    end = Connection(ours, authentication=meet(KEY, "a", "b")[0])
    with theirs:
        end.send(encode("x", []))
        theirs.sendall(theirs.recv(1000))
        with pytest.raises(ProtocolError, match="frame 0 was changed, replayed"):
            end.receive()
    end.close()


def test_nothing_is_taken_from_a_connection_that_was_tampered_with() -> None:
    ours, theirs = sockets("memory")
    tags, frame = Tags(KEY), b"".join(encode("x", []))
    receiver = Connection(theirs, authentication=Authentication(Tags(KEY), Tags(KEY)))
    with ours:
        ours.sendall(frame + bytes(TAG_BYTES) + frame + tags.next([frame]))
        for _ in range(2):
            with pytest.raises(ProtocolError, match="frame 0 was changed"):
                receiver.receive()
    assert not receiver.has_frame
    receiver.close()
