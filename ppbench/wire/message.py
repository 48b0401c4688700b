"""The frame: one message as bytes.

    u32 size of what follows | u16 round | u8 length of name | u8 number of arrays | name (UTF-8)
    per array: u8 dtype | u8 dimensions | u32 per dimension
    per array: zero bytes up to a multiple of its item size | its buffer, row-major, little-endian

Nothing in a frame is executed or unpickled, and a decoder allocates what has arrived, not what is claimed.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import struct
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from ppbench.bundle import Array
from ppbench.errors import ProtocolError

MAX_FRAME_BYTES = 1 << 30
MAX_DIMENSIONS = 8
MAX_ARRAYS = 255
Buffer: TypeAlias = bytes | bytearray | memoryview
"""Of single bytes, so that its length is its size."""

ROUNDS_IN_FRAME = 1 << 16
"""A frame says a depth modulo this: training can go deeper, but no two parties that talk stand so far apart."""
# Up to here one copy is cheaper than handing the kernel several buffers.
_COPIED_BYTES = 1 << 14

SIZE = struct.Struct("<I")
_HEAD = struct.Struct("<HBB")
_DTYPES = [
    np.dtype(code)
    for code in ["?", "u1", "<u2", "<u4", "<u8", "i1", "<i2", "<i4", "<i8", "<f2", "<f4", "<f8", "<c8", "<c16"]
]
_CODES = {dtype: code for code, dtype in enumerate(_DTYPES)}
_SHAPES = [struct.Struct(f"<BB{n}I") for n in range(MAX_DIMENSIONS + 1)]
_N_BYTES = operator.attrgetter("nbytes")
SIZE_BYTES = SIZE.size


@dataclasses.dataclass(slots=True)
class Message:
    """A name and typed arrays; `round` is the depth on the critical path that its receiver is brought to."""

    name: str
    arrays: tuple[Array, ...]
    round: int = 0

    @property
    def n_bytes(self) -> int:
        """What the scheme put into buffers: the message level of DESIGN section 4."""
        return n_bytes(self.arrays)


def n_bytes(arrays: Sequence[Array]) -> int:
    """The size of some arrays' buffers."""
    return sum(map(_N_BYTES, arrays))


def as_array(text: str) -> Array:
    """A text as an array of its UTF-8 bytes."""
    return np.frombuffer(text.encode(), np.uint8)


def text_of(arrays: Sequence[Array]) -> str:
    """The text in the first of some arrays. Raises ValueError if there is none."""
    if not arrays or arrays[0].dtype != np.uint8 or arrays[0].ndim != 1:
        raise ValueError("its first array is no text")
    return str(arrays[0].data, "utf-8")


def encode(name: str, arrays: Sequence[Array], depth: int = 0) -> list[Buffer]:
    """A message as buffers of bytes, to be sent in order.

    Raises ProtocolError if the name, an array's type or shape, or the size cannot be framed.
    """
    try:
        return _encode(name, arrays, depth)
    except (struct.error, UnicodeEncodeError) as error:
        raise ProtocolError(f"message {name[:40]!r} cannot be framed ({error})") from error


def _encode(name: str, arrays: Sequence[Array], depth: int) -> list[Buffer]:
    encoded = name.encode()
    if not 0 < len(encoded) < 256 or len(arrays) > MAX_ARRAYS:
        raise ProtocolError(
            f"message {name[:40]!r}: a name has 1 to 255 bytes, and there are at most {MAX_ARRAYS} arrays"
        )
    # A broadcast array can be larger than memory: no array is copied before the size is judged.
    _check_size(name, n_bytes(arrays))
    head = _HEAD.pack(depth % ROUNDS_IN_FRAME, len(encoded), len(arrays)) + encoded
    framed = []
    for array in arrays:
        code = _CODES.get(array.dtype)
        if code is None or not array.flags.c_contiguous or array.ndim > MAX_DIMENSIONS:
            code, array = _framable(name, array)
        head += _SHAPES[array.ndim].pack(code, array.ndim, *array.shape)
        framed.append(array)
    size = len(head)
    parts: list[Any] = [b"", head]
    for array in framed:
        if array.nbytes:
            if padding := -size % array.itemsize:
                parts.append(bytes(padding))
            parts.append(array)
            size += padding + array.nbytes
    _check_size(name, size)
    parts[0] = SIZE.pack(size)
    if size <= _COPIED_BYTES:
        return [b"".join(parts)]
    return [part if isinstance(part, bytes) else part.reshape(-1).view(np.uint8).data for part in parts]


def _check_size(name: str, size: int) -> None:
    if size > MAX_FRAME_BYTES:
        raise ProtocolError(f"message {name!r} has {size} bytes; a frame has at most {MAX_FRAME_BYTES}")


def _framable(name: str, array: Array) -> tuple[int, Array]:
    """The code of an array's type, and the array little-endian and row-major."""
    little = array.dtype.newbyteorder("<")
    code = _CODES.get(little)
    if code is None or array.ndim > MAX_DIMENSIONS:
        raise ProtocolError(f"message {name!r}: no frame for an array of {array.dtype} {array.shape}")
    return code, array.astype(little, order="C", copy=False)


def frame_size(prefix: Buffer) -> int:
    """The size announced by a frame's first four bytes. Raises ProtocolError if it is out of bounds."""
    size: int = SIZE.unpack_from(prefix)[0]
    if not _HEAD.size < size <= MAX_FRAME_BYTES:
        raise ProtocolError(f"a frame of {size} bytes is announced; {_HEAD.size + 1} to {MAX_FRAME_BYTES} are allowed")
    return size


def decode(body: Buffer) -> Message:
    """The message in a frame without its size; its arrays share the body's memory.

    Raises ProtocolError for anything but the bytes that `encode` makes.
    """
    try:
        return _decode(body)
    except (struct.error, IndexError, ValueError) as error:
        raise ProtocolError(f"a frame of {len(body)} bytes is malformed ({error})") from error


def _decode(body: Buffer) -> Message:
    depth, name_length, n_arrays = _HEAD.unpack_from(body)
    at = _HEAD.size + name_length
    if name_length == 0 or at > len(body):
        raise ProtocolError(f"a frame of {len(body)} bytes announces a name of {name_length} bytes")
    name = str(body[_HEAD.size : at], "utf-8")
    described = []
    for _ in range(n_arrays):
        code, n_dimensions = body[at], body[at + 1]
        if code >= len(_DTYPES) or n_dimensions > MAX_DIMENSIONS:
            raise ProtocolError(f"message {name!r} has an array of unknown type {code} or {n_dimensions} dimensions")
        described.append((_DTYPES[code], _SHAPES[n_dimensions].unpack_from(body, at)[2:]))
        at += _SHAPES[n_dimensions].size
    arrays = []
    for dtype, shape in described:
        size = math.prod(shape) * dtype.itemsize
        if size and (padding := -at % dtype.itemsize):
            if any(body[at : at + padding]):
                raise ProtocolError(f"message {name!r} has padding that is not zero")
            at += padding
        if at + size > len(body):
            raise ProtocolError(f"message {name!r} announces {dtype} {shape} in a frame of {len(body)} bytes")
        array: Array = np.ndarray(shape, dtype, body, at)
        if dtype.kind == "b" and size and array.view(np.uint8).max() > 1:
            raise ProtocolError(f"message {name!r} has a truth value that is neither 0 nor 1")
        arrays.append(array)
        at += size
    if at != len(body):
        raise ProtocolError(f"message {name!r} ends at byte {at} of a frame of {len(body)}")
    return Message(name, tuple(arrays), depth)
