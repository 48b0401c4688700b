"""The frame: one message as bytes.

    u32 size of what follows | u16 round | u8 length of name | u8 number of arrays | name (UTF-8)
    per array: u8 dtype | u8 dimensions | u32 per dimension
    per array: zero bytes up to a multiple of its item size | its buffer, row-major, little-endian

Nothing in a frame is executed or unpickled, and a decoder allocates what has arrived, not what is claimed.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from ppbench.bundle import Array
from ppbench.errors import ProtocolError

MAX_FRAME_BYTES = 1 << 30
MAX_DIMENSIONS = 8
Buffer: TypeAlias = bytes | bytearray | memoryview

_SIZE = struct.Struct("<I")
_HEAD = struct.Struct("<HBB")
_DTYPES = [
    np.dtype(code)
    for code in ["?", "u1", "<u2", "<u4", "<u8", "i1", "<i2", "<i4", "<i8", "<f2", "<f4", "<f8", "<c8", "<c16"]
]
_CODES = {dtype: code for code, dtype in enumerate(_DTYPES)}
_SHAPES = [struct.Struct(f"<BB{n}I") for n in range(MAX_DIMENSIONS + 1)]
SIZE_BYTES = _SIZE.size


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """A name and typed arrays; `round` is the sender's depth on the critical path (see `channel`)."""

    name: str
    arrays: tuple[Array, ...]
    round: int = 0

    @property
    def n_bytes(self) -> int:
        """What the scheme put into buffers: the message level of DESIGN section 4."""
        return sum(array.nbytes for array in self.arrays)


def encode(name: str, arrays: Sequence[Array], depth: int = 0) -> tuple[list[Buffer], int]:
    """A message as buffers to be sent in order, and their total size in bytes.

    Raises ProtocolError if the name, an array's type or shape, or the size cannot be framed.
    """
    encoded = name.encode()
    if not 0 < len(encoded) < 256 or len(arrays) > 255:
        raise ProtocolError(f"message '{name[:40]}': a name has 1 to 255 bytes, and there are at most 255 arrays")
    head = [_HEAD.pack(min(depth, 0xFFFF), len(encoded), len(arrays)), encoded]
    contiguous: list[Array] = []
    for array in arrays:
        code = _CODES.get(array.dtype)
        if code is None:
            array = array.astype(array.dtype.newbyteorder("<"))
            code = _CODES.get(array.dtype)
        if code is None or array.ndim > MAX_DIMENSIONS or any(n > 0xFFFFFFFF for n in array.shape):
            raise ProtocolError(f"message '{name}': no frame for an array of {array.dtype} {array.shape}")
        head.append(_SHAPES[array.ndim].pack(code, array.ndim, *array.shape))
        contiguous.append(array if array.flags.c_contiguous else np.ascontiguousarray(array))
    buffers: list[Buffer] = [b"".join(head)]
    size = len(buffers[0])
    for array in contiguous:
        if array.nbytes:
            padding = -size % array.itemsize
            if padding:
                buffers.append(bytes(padding))
            buffers.append(array.reshape(-1).view(np.uint8).data)
            size += padding + array.nbytes
    if size > MAX_FRAME_BYTES:
        raise ProtocolError(f"message '{name}' has {size} bytes; a frame has at most {MAX_FRAME_BYTES}")
    buffers[0] = _SIZE.pack(size) + buffers[0]
    return buffers, size + SIZE_BYTES


def frame_size(prefix: Buffer) -> int:
    """The size announced by a frame's first four bytes. Raises ProtocolError if it is out of bounds."""
    size: int = _SIZE.unpack_from(prefix)[0]
    if not _HEAD.size < size <= MAX_FRAME_BYTES:
        raise ProtocolError(f"a frame of {size} bytes is announced; {_HEAD.size + 1} to {MAX_FRAME_BYTES} are allowed")
    return size


def decode(body: bytearray) -> Message:
    """The message in a frame without its size; its arrays share the body's memory.

    Raises ProtocolError for anything but the bytes that `encode` makes.
    """
    try:
        return _decode(body)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ProtocolError(f"a frame of {len(body)} bytes is malformed ({error})") from error


def _decode(body: bytearray) -> Message:
    depth, name_length, n_arrays = _HEAD.unpack_from(body)
    at = _HEAD.size + name_length
    if name_length == 0 or at > len(body):
        raise ProtocolError(f"a frame of {len(body)} bytes announces a name of {name_length} bytes")
    name = body[_HEAD.size : at].decode()
    described = []
    for _ in range(n_arrays):
        code, n_dimensions = body[at], body[at + 1]
        if code >= len(_DTYPES) or n_dimensions > MAX_DIMENSIONS:
            raise ProtocolError(f"message '{name}' has an array of unknown type {code} or {n_dimensions} dimensions")
        shape = _SHAPES[n_dimensions].unpack_from(body, at)[2:]
        at += _SHAPES[n_dimensions].size
        described.append((_DTYPES[code], shape))
    arrays = []
    for dtype, shape in described:
        count = 1
        for n in shape:
            count *= n
        if count:
            at += -at % dtype.itemsize
        end = at + count * dtype.itemsize
        if end > len(body):
            raise ProtocolError(f"message '{name}' announces {dtype} {shape} in a frame of {len(body)} bytes")
        flat = np.frombuffer(body, dtype, count, at) if count else np.empty(0, dtype)
        if dtype == np.bool_ and count and flat.view(np.uint8).max() > 1:
            raise ProtocolError(f"message '{name}' has a truth value that is neither 0 nor 1")
        try:
            arrays.append(flat.reshape(shape))
        except ValueError as error:
            raise ProtocolError(f"message '{name}' announces an impossible shape {shape}") from error
        at = end
    if at != len(body):
        raise ProtocolError(f"message '{name}' ends at byte {at} of a frame of {len(body)}")
    return Message(name, tuple(arrays), depth)
