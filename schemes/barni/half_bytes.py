"""Integers of some bits as bytes, two and two where they do not fill whole ones."""

from __future__ import annotations

import math

import numpy as np

from ppbench.bundle import Array


def whole(n_bits: float) -> int:
    """The least number of bits that can be packed and is no smaller."""
    step = 4 if n_bits <= 32 else 8
    return step * math.ceil(n_bits / step)


def packed_size(n: int, n_bits: int) -> int:
    """The bytes of n packed integers."""
    return (n + n % 2) * n_bits // 8


def pack(values: Array, n_bits: int) -> Array:
    """(...) uint64 below 2^n_bits -> (bytes,) uint8; `n_bits` a multiple of 4 up to 32, or of 8 up to 64."""
    flat = values.astype("<u8").ravel()
    if flat.size % 2:
        flat = np.append(flat, np.uint64(0))
    words, width = flat, n_bits
    if n_bits % 8:
        words, width = flat[::2] | flat[1::2] << np.uint64(n_bits), 2 * n_bits
    packed: Array = words.view(np.uint8).reshape(-1, 8)[:, : width // 8].ravel()
    return packed


def unpack(packed: Array, n: int, n_bits: int) -> Array:
    """What `pack` packed -> (n,) uint64."""
    width = 2 * n_bits if n_bits % 8 else n_bits
    words = np.zeros((packed.size * 8 // width, 8), np.uint8)
    words[:, : width // 8] = packed.reshape(len(words), -1)
    flat = words.view("<u8").ravel()
    if n_bits % 8:
        flat = np.stack([flat & np.uint64((1 << n_bits) - 1), flat >> np.uint64(n_bits)], axis=1).ravel()
    return flat[:n]
