"""How obfuscated samples are put on the wire: their range is the network's, not the sensor's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ppbench.bundle import Array
from ppbench.errors import ProtocolError

_SMALLEST = float(np.finfo(np.float32).tiny)
ENCODINGS = ("float32", "float16", "uint8")


def pack(samples: Array, encoding: str) -> list[Array]:
    """Non-negative samples (n, d) float32 as the arrays of a message: 4, 2 or 1 bytes a value.

    `uint8` divides the batch's range into 255 steps and sends the step along.
    """
    if encoding != "uint8":
        return [samples.astype(encoding)]
    step = np.float32(max(float(samples.max(initial=0)), _SMALLEST) / 255)
    return [np.rint(samples / step).astype(np.uint8), np.array(step)]


def unpack(arrays: Sequence[Array], encoding: str) -> Array:
    """What `pack` packed, (n, d) float32. Raises ProtocolError if it is something else."""
    expected = [np.dtype(encoding)] + [np.dtype(np.float32)] * (encoding == "uint8")
    if [array.dtype for array in arrays] != expected:
        found = [str(array.dtype) for array in arrays]
        raise ProtocolError(f"samples encoded as {encoding} are awaited, but the arrays are {found}")
    unpacked = arrays[0].astype(np.float32)
    return unpacked * arrays[1] if encoding == "uint8" else unpacked
