"""Whether shared numbers are negative: a carry computed on bits, 13 bytes and 4 rounds a number.

The sign is the topmost bit of the sum of both shares, so it takes the carry out of the bits below. Where both shares
have a 1 a carry is *generated*, where one has it is *propagated*; runs of bits are merged four at a time (radix-4
carry lookahead), with ABY2.0's ANDs of many inputs. CrypTen adds all 64 bits with two-input ANDs on words: 7 rounds,
and about 16 times the bytes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch

from ppbench.bundle import Array
from schemes.mpc.correlations import COORDINATOR, BitProducts, Correlation, PrivateAnd, Values
from schemes.mpc.headroom import COMPARED_BITS
from schemes.mpc.session import Session

_RADICES = (4, 4, 2)
"""Runs merged at a time; their product is `COMPARED_BITS`."""


def needs(n: int) -> list[Correlation]:
    """What the signs of n numbers use up."""
    n_bytes = -(-n // 8)
    found: list[Correlation] = [PrivateAnd((COMPARED_BITS, n_bytes))]
    n_runs = COMPARED_BITS
    for radix in _RADICES:
        n_runs //= radix
        found.append(BitProducts(_Merge(radix, last=n_runs == 1).monomials, (n_runs, n_bytes)))
    return found


def is_negative(numbers: torch.Tensor, dealt: Iterator[list[Values]], session: Session) -> Array:
    """Shares of (n,) numbers -> shares of their signs, packed into uint8."""
    planes = _bit_planes(numbers)
    top, own = planes[-1], planes[:-1]
    # Below the lowest bit stands one that propagates no carry, which makes the runs come out even.
    own = np.concatenate([np.zeros_like(top)[np.newaxis], own])
    generated, propagated = _both(own, next(dealt), session), own
    for radix in _RADICES:
        merge = _Merge(radix, last=len(generated) == radix)
        generated, propagated = merge(generated, propagated, next(dealt), session)
    signs: Array = top ^ generated[0]
    return signs


def _both(own: Array, dealt: list[Values], session: Session) -> Array:
    """Shares of the AND of the coordinator's bits and the participant's."""
    mask, product = dealt
    opened = own ^ mask
    (other,) = session.exchange("masked bits", opened)
    # With the coordinator's x and the participant's y ^ mask: x y = x (y ^ mask) ^ (x ^ its mask) mask ^ both masks.
    shared: Array = ((own if session.rank == COORDINATOR else mask) & other) ^ product
    return shared


@dataclasses.dataclass(frozen=True)
class _Merge:
    """Runs of bits, the lowest first, merged into one: inputs are their p (all but g of the highest), then their g."""

    radix: int
    last: bool
    """Whether only the generated carry is asked for."""

    @property
    def monomials(self) -> tuple[tuple[int, ...], ...]:
        """What is multiplied: each run's g with the p of all runs above it; and all p."""
        runs = range(self.radix)
        first_p = 1 if self.last else 0
        carried = tuple(
            (*(p - first_p for p in runs if p > g), self.radix - first_p + g) for g in range(self.radix - 1)
        )
        return carried if self.last else (*carried, tuple(runs))

    def __call__(
        self, generated: Array, propagated: Array, dealt: list[Values], session: Session
    ) -> tuple[Array, Array]:
        """(runs, bytes) of each -> (runs / radix, bytes) of each."""
        g = generated.reshape(-1, self.radix, generated.shape[-1]).swapaxes(0, 1)
        p = propagated.reshape(-1, self.radix, propagated.shape[-1]).swapaxes(0, 1)
        inputs = np.concatenate([p[1:] if self.last else p, g[:-1]])
        *carried, through = _products(self, inputs, dealt, session)
        if self.last:
            carried.append(through)
            through = np.empty_like(through)
        return np.bitwise_xor.reduce([g[-1], *carried]), through


def _products(merge: _Merge, inputs: Array, dealt: list[Values], session: Session) -> list[Array]:
    masks, mask_products = dealt
    correlation = BitProducts(merge.monomials, inputs.shape[1:])
    shared = dict(zip(correlation.subsets, mask_products, strict=True))
    shared.update({(index,): mask for index, mask in enumerate(masks)})
    masked = inputs ^ masks
    (other,) = session.exchange("masked bits", masked)
    opened = masked ^ other
    return [_unfolded(tuple(sorted(monomial)), opened, shared, session.rank) for monomial in merge.monomials]


def _unfolded(monomial: tuple[int, ...], opened: Array, shared: dict[tuple[int, ...], Array], rank: int) -> Array:
    """The share of a product of inputs, each of which is an opened bit plus a mask: a sum over subsets of masks."""
    total: Array = np.zeros_like(opened[0])
    if rank == COORDINATOR:
        total ^= np.bitwise_and.reduce(opened[list(monomial)])
    for subset, product in shared.items():
        if set(subset) <= set(monomial):
            others = [index for index in monomial if index not in subset]
            total ^= np.bitwise_and.reduce([product, *opened[others]])
    return total


def _bit_planes(numbers: torch.Tensor) -> Array:
    """(n,) int64 -> (COMPARED_BITS, n / 8) uint8: the lowest bits of all numbers, then the next, and so on."""
    low = numbers.numpy().astype(np.uint32)
    bits = np.unpackbits(low.view(np.uint8).reshape(-1, 4), axis=1, bitorder="little")
    return np.packbits(np.ascontiguousarray(bits.T), axis=1, bitorder="little")
