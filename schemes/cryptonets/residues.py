"""Linear maps and squares on residues modulo a prime, exact, at the speed of floating-point matrix products.

A residue below 2^32 is an integer that float64 holds exactly, and so is every sum of products that stays below
2^53: the products of matrices are BLAS's, and nothing is rounded. Only `MAX_ROW_NORM` has to be watched.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from ppbench.bundle import Array

MAX_PRIME_BITS = 32
"""So that the product of two centred residues fits in int64."""
MAX_ROW_NORM = 2.0**20
"""Largest sum of absolute values in a row of a matrix whose products with residues are exact.

The sums are then below 2^52: float64 holds integers up to 2^53, and one bit is left for a bias and for the multiple of
the prime nearest to a sum.
"""
_BLOCK_ROWS = 64
"""Rows of a block. A convolution's rows touch few columns, so small blocks waste little; BLAS wants some rows."""


def row_norm(matrix: Array) -> float:
    """The largest sum of absolute values in a row."""
    return float(np.abs(matrix).sum(axis=1).max())


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """Some rows of a matrix and the columns between the first and the last in which one of them is not 0."""

    rows: slice
    columns: slice
    dense: Array
    """(rows, columns) float64."""


class BlockedMatrix:
    """An integer matrix cut into dense blocks, its rows in an order that keeps the blocks small."""

    def __init__(self, matrix: Array) -> None:
        nonzero = matrix != 0
        self.order: Array = np.argsort(nonzero.argmax(axis=1), kind="stable")
        """Row of the matrix for each row of the product."""
        ordered, nonzero = matrix[self.order], nonzero[self.order]
        self.blocks = [
            _block(ordered, nonzero, slice(start, min(start + _BLOCK_ROWS, len(ordered))))
            for start in range(0, len(ordered), _BLOCK_ROWS)
        ]

    @property
    def max_rows(self) -> int:
        """Rows of the largest block."""
        return max(len(block.dense) for block in self.blocks)

    def products(self, values: Array) -> Iterator[tuple[slice, Array]]:
        """(in, n) float64 integers -> (rows, their products (rows, n)), block by block.

        The product is overwritten by the next one.
        """
        memory = np.empty((self.max_rows, values.shape[1]))
        for block in self.blocks:
            product = memory[: len(block.dense)]
            np.matmul(block.dense, values[block.columns], out=product)
            yield block.rows, product


def _block(ordered: Array, nonzero: Array, rows: slice) -> Block:
    touched = np.flatnonzero(nonzero[rows].any(axis=0))
    columns = slice(int(touched[0]), int(touched[-1]) + 1) if touched.size else slice(0, 1)
    return Block(rows, columns, np.ascontiguousarray(ordered[rows, columns]))


class Squarer:
    """Squares ciphertexts of two components into three; made for one shape, so that it allocates nothing later.

    (c0 + c1 s)^2 = c0^2 + 2 c0 c1 s + c1^2 s^2.
    """

    def __init__(self, rows: int, width: int) -> None:
        """Up to `rows` ciphertexts of `width` residues per component at a time."""
        self._quotient = np.empty((rows, 2, width))
        self._centred = np.empty((rows, 2, width), np.int64)
        self._product = np.empty((rows, width), np.int64)
        self._multiple = np.empty((rows, width), np.int64)

    def __call__(self, ciphertexts: Array, prime: int, squares: Array) -> None:
        """(rows, 2, width) float64 integers below 2^53, which are overwritten -> `squares`, (rows, 3, width) float64.

        The squares are congruent modulo the prime and at most prime (1 + 2^-20) in size.
        """
        n = len(ciphertexts)
        centre(ciphertexts, prime, self._quotient[:n])
        centred = self._centred[:n]
        np.copyto(centred, ciphertexts, casting="unsafe")
        first, second = centred[:, 0], centred[:, 1]
        for component, (left, right) in enumerate([(first, first), (first, second), (second, second)]):
            self._multiply(left, right, prime, squares[:, component])
        squares[:, 1] *= 2

    def _multiply(self, left: Array, right: Array, prime: int, product: Array) -> None:
        n = len(left)
        exact, multiple, quotient = self._product[:n], self._multiple[:n], self._quotient[:n, 0]
        np.multiply(left, right, out=exact)
        # The quotient is rounded three times, by 2^-21 in all at most: the remainder is exact and nearly centred.
        np.multiply(exact, 1 / prime, out=quotient)
        np.rint(quotient, out=quotient)
        np.copyto(multiple, quotient, casting="unsafe")
        np.multiply(multiple, prime, out=multiple)
        np.subtract(exact, multiple, out=exact)
        np.copyto(product, exact)


def centre(values: Array, prime: int, quotient: Array) -> None:
    """Bring float64 integers below 2^53 to at most prime / 2 (1 + 2^-20), in place; `quotient` is scratch space."""
    np.multiply(values, 1 / prime, out=quotient)
    np.rint(quotient, out=quotient)
    np.multiply(quotient, prime, out=quotient)
    np.subtract(values, quotient, out=values)


def to_unsigned(values: Array, prime: int) -> Array:
    """float64 integers below 2^53, which are overwritten -> uint64 residues in [0, prime), of the same shape."""
    centre(values, prime, np.empty_like(values))
    integers = values.astype(np.int64)
    integers += prime * (integers < 0)
    return integers.view(np.uint64)
