"""The first layer, the square and the second layer, on residues: where nearly all the arithmetic is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ppbench.bundle import Array
from ppbench.he.wire import unpack
from schemes.cryptonets.affine import Affine
from schemes.cryptonets.residues import BlockedMatrix, Squarer, to_unsigned

_WIDTH = 512
"""Coefficients at a time: all that is computed of them, 23 MB on CryptoNets' network, stays near the processor."""


class FirstLayers:
    """`second @ (first @ x + bias)^2`; the second layer's bias comes later, when the scale is smaller."""

    def __init__(self, first: Affine, second: Affine, bias_scale: float) -> None:
        """Maps with integer matrices, and the scale of what the first one puts out."""
        self._first = BlockedMatrix(first.matrix)
        self._bias = np.rint(first.bias[self._first.order] * bias_scale)
        self._second = np.ascontiguousarray(second.matrix[:, self._first.order])

    def __call__(self, packed: Sequence[Array], expanded: Array, primes: Sequence[int]) -> Array:
        """Ciphertexts of the pixels -> those of the second layer's outputs, (out, 3, primes, N) uint64.

        `packed` has the first components, for each prime (pixels, N, bytes) uint8; `expanded` the second ones,
        (pixels, primes, N).
        """
        degree = expanded.shape[2]
        outputs = np.empty((len(self._second), 3, len(primes), degree), np.uint64)
        width = min(_WIDTH, degree)
        pixels = np.empty((len(expanded), 2, width))
        squares = np.empty((len(self._bias), 3, width))
        squarer = Squarer(self._first.max_rows, width)
        for index, prime in enumerate(primes):
            for start in range(0, degree, width):
                columns = slice(start, start + width)
                unpack(packed[index][:, columns], pixels[:, 0])
                np.copyto(pixels[:, 1], expanded[:, index, columns])
                self._square_first(pixels, prime, squarer, squares)
                sums = self._second @ squares.reshape(len(squares), -1)
                outputs[:, :, index, columns] = to_unsigned(sums, prime).reshape(-1, 3, width)
        return outputs

    def _square_first(self, pixels: Array, prime: int, squarer: Squarer, squares: Array) -> None:
        width = pixels.shape[2]
        bias = np.remainder(self._bias, prime)
        for rows, product in self._first.products(pixels.reshape(len(pixels), -1)):
            ciphertexts = product.reshape(-1, 2, width)
            # A constant has the same residue at every point at which the NTT evaluates.
            ciphertexts[:, 0] += bias[rows, np.newaxis]
            squarer(ciphertexts, prime, squares[rows])
