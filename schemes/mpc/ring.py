"""The integers modulo 2^k as int64, of which the k lowest bits count."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from ppbench.bundle import Array

if TYPE_CHECKING:
    import torch

_WORD_BITS = 64


@dataclasses.dataclass(frozen=True)
class Ring:
    """Sums and products are those of int64; a smaller ring sends fewer bytes a number."""

    bits: int
    """A multiple of 8, up to 64."""

    @property
    def n_bytes(self) -> int:
        """Of a number on the wire."""
        return self.bits // 8

    def pack(self, numbers: Array) -> Array:
        """Int64 of any shape -> (size * n_bytes,) uint8."""
        octets = np.ascontiguousarray(numbers).view(np.uint8).reshape(-1, _WORD_BITS // 8)
        return octets[:, : self.n_bytes].ravel()

    def unpack(self, content: Array, shape: tuple[int, ...]) -> Array:
        """What `pack` packed."""
        octets = np.zeros((content.size // self.n_bytes, _WORD_BITS // 8), np.uint8)
        octets[:, : self.n_bytes] = content.reshape(-1, self.n_bytes)
        return octets.view(np.int64).reshape(shape)

    def signed(self, numbers: torch.Tensor) -> torch.Tensor:
        """The representatives in [-2^(k-1), 2^(k-1))."""
        spare = _WORD_BITS - self.bits
        return (numbers << spare) >> spare

    def truncated(self, share: torch.Tensor, divisor: int) -> torch.Tensor:
        """Shares of x -> shares of x / divisor, each party on its own, as CrypTen does it for two.

        One too low or high; and wrong altogether with a probability of |x| / 2^(k-1): SecureML (Mohassel and Zhang,
        S&P'17), theorem 1.
        """
        return self.signed(share).div(divisor, rounding_mode="trunc")
