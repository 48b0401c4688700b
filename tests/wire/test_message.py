"""The frame of a message: what goes in comes out, and nothing else comes in."""

from __future__ import annotations

import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ppbench.bundle import Array
from ppbench.errors import ProtocolError
from ppbench.wire.message import MAX_FRAME_BYTES, SIZE_BYTES, Message, decode, encode, frame_size

DTYPES = ["?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "c8", "c16"]
NAMES = st.text(min_size=1, max_size=60).filter(lambda name: name.isprintable() and len(name.encode()) < 256)


def frame(name: str, *arrays: Array, depth: int = 0) -> bytes:
    return b"".join(encode(name, arrays, depth))


def body(name: str, *arrays: Array, depth: int = 0) -> bytes:
    return frame(name, *arrays, depth=depth)[SIZE_BYTES:]


def dtypes() -> st.SearchStrategy[np.dtype[Any]]:
    return st.builds(
        lambda code, order: np.dtype(code).newbyteorder(order), st.sampled_from(DTYPES), st.sampled_from("<>")
    )


@st.composite
def arrays(draw: st.DrawFn) -> Array:
    """Of all types, shapes and layouts in memory: 0-d, empty, big-endian, column-major, strided, reversed."""
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=8, min_side=0, max_side=3))
    array: Array = draw(hnp.arrays(draw(dtypes()), shape))
    layout = draw(st.sampled_from(["rows", "columns", "transposed", "reversed", "strided", "broadcast"]))
    if layout == "columns":
        return np.asfortranarray(array)
    if layout == "transposed":
        return array.T
    if array.ndim and layout == "reversed":
        return array[::-1]
    if array.ndim and layout == "strided":
        return np.repeat(array, 2, axis=-1)[..., ::2]
    if array.ndim < 8 and layout == "broadcast":
        return np.broadcast_to(array, (2, *array.shape))
    return array


def assert_same(received: Array, sent: Array) -> None:
    assert received.dtype == sent.dtype.newbyteorder("<")
    assert received.shape == sent.shape
    assert received.tobytes() == sent.astype(received.dtype).tobytes()  # bit by bit: NaN too


def assert_refused_or_the_only_way_to_say_it(received: bytes) -> None:
    """A frame that is taken is the very one that `encode` makes of its content."""
    try:
        message = decode(received)
    except ProtocolError:
        return
    assert body(message.name, *message.arrays, depth=message.round) == received


@given(NAMES, st.lists(arrays(), max_size=5), st.integers(0, 0xFFFF))
def test_what_goes_in_comes_out(name: str, sent: list[Array], depth: int) -> None:
    message = decode(bytearray(body(name, *sent, depth=depth)))
    assert (message.name, message.round) == (name, depth)
    assert message.n_bytes == sum(array.nbytes for array in sent)
    assert len(message.arrays) == len(sent)
    for received, original in zip(message.arrays, sent, strict=True):
        assert_same(received, original)
        assert received.flags.writeable
        assert received.flags.aligned


def test_a_large_message_is_framed_as_a_small_one_is() -> None:
    sent: list[Array] = [np.arange(3, dtype=np.uint8), np.random.default_rng(0).random((100, 70)).T, np.array(5j)]
    received = decode(body("weights", *sent)).arrays
    for one, other in zip(received, sent, strict=True):
        assert_same(one, other)


def test_the_size_comes_first() -> None:
    whole = frame("samples", np.zeros(784, np.uint8))
    assert frame_size(whole) == len(whole) - SIZE_BYTES
    assert len(whole) - 784 <= 24


@pytest.mark.parametrize("size", [0, 4, MAX_FRAME_BYTES + 1, 2 << 30, 0xFFFFFFFF])
def test_an_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(ProtocolError, match=str(size)):
        frame_size(struct.pack("<I", size))


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("", []),
        ("x" * 256, []),
        ("\udc80", []),
        ("many", [np.zeros(1)] * 256),
        ("objects", [np.array([None])]),
        ("texts", [np.array(["a"])]),
        ("dates", [np.array(["2020-01-01"], np.datetime64)]),
        ("records", [np.zeros(2, [("a", "f4"), ("b", "u1")])]),
        ("extended", [np.zeros(2, np.longdouble)]),
        ("deep", [np.zeros((1,) * 9)]),
        ("wide", [np.empty((0, 1 << 32), np.uint8)]),
        ("huge", [np.broadcast_to(np.float64(0), (1 << 40,))]),
        ("two that are too much", [np.broadcast_to(np.zeros(1 << 20, np.uint8), (600, 1 << 20))] * 2),
    ],
    ids=lambda value: value[:10] if isinstance(value, str) else "",
)
def test_what_has_no_frame_is_refused_by_the_sender(name: str, sent: list[Array]) -> None:
    with pytest.raises(ProtocolError):
        encode(name, sent)


@given(st.binary(max_size=200))
def test_random_bytes(received: bytes) -> None:
    assert_refused_or_the_only_way_to_say_it(received)


@given(
    st.integers(0, 3),
    st.binary(min_size=1, max_size=3),
    st.lists(
        st.tuples(st.integers(0, 15), st.lists(st.one_of(st.integers(0, 3), st.integers(0, 0xFFFFFFFF)), max_size=9)),
        max_size=3,
    ),
    st.binary(max_size=40),
)
def test_any_claims_of_types_and_shapes(
    depth: int, name: bytes, described: list[tuple[int, list[int]]], rest: bytes
) -> None:
    received = struct.pack("<HBB", depth, len(name), len(described)) + name
    for code, shape in described:
        received += struct.pack(f"<BB{len(shape)}I", code, len(shape), *shape)
    assert_refused_or_the_only_way_to_say_it(received + rest)


@given(NAMES, st.lists(arrays(), max_size=3), st.data())
def test_a_flipped_bit(name: str, sent: list[Array], data: st.DataObject) -> None:
    received = bytearray(body(name, *sent))
    bit = data.draw(st.integers(0, 8 * len(received) - 1))
    received[bit // 8] ^= 1 << bit % 8
    assert_refused_or_the_only_way_to_say_it(bytes(received))


@given(NAMES, st.lists(arrays(), max_size=3), st.binary(min_size=1, max_size=20))
def test_a_frame_cut_off_or_too_long(name: str, sent: list[Array], more: bytes) -> None:
    received = body(name, *sent)
    for end in range(min(len(received), 200)):
        with pytest.raises(ProtocolError):
            decode(received[:end])
    with pytest.raises(ProtocolError):
        decode(received + more)


def test_a_claim_costs_no_memory() -> None:
    claims = struct.pack("<HBB", 0, 1, 1) + b"x" + struct.pack("<BBI", 1, 1, 1 << 30)
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError, match="announces"):
            decode(claims)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_refused_array_is_not_copied_first() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError, match="at most"):
            encode("huge", [np.broadcast_to(np.float64(0), (1 << 28,))])
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_the_message_level_counts_buffers_only() -> None:
    assert Message("x", (np.zeros((2, 3), np.float32), np.array(1, np.uint8), np.empty(0))).n_bytes == 25
