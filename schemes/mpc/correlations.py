"""What the dealer deals: random values of which each party holds a share, and of which the shares fit together.

Each party draws its shares from a stream whose key it has from the dealer, so they cost no traffic. What must fit,
such as the product of two masks, is *determined*: there the coordinator's share is what the participant's leaves,
and the dealer sends it. Nothing here depends on a sample or a weight.
"""

from __future__ import annotations

import abc
import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch

from ppbench.bundle import Array
from schemes.mpc.linear_map import LinearMap
from schemes.mpc.ring import Ring

COORDINATOR, PARTICIPANT = 0, 1
"""Ranks of the two parties."""
KEY_BYTES = 16
_WORDS = Ring(64)
"""What is drawn; of a smaller ring some bits count for nothing."""

Kind = Literal["ring", "bits"]
Values: TypeAlias = Any
"""Of kind `ring` a tensor of int64; of kind `bits` an array of uint8, eight bits in each."""
Shape: TypeAlias = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Part:
    """One value of a correlation."""

    kind: Kind
    shape: Shape
    owner: int | None = None
    """The rank of the one party that knows it; None: each party has a share."""

    def to_bytes(self, value: Values, ring: Ring) -> bytes:
        """As it is sent."""
        return (ring.pack(value.numpy()) if self.kind == "ring" else value).tobytes()

    def n_bytes(self, ring: Ring) -> int:
        """Its size when it is sent."""
        return math.prod(self.shape) * (ring.n_bytes if self.kind == "ring" else 1)

    def from_bytes(self, content: Array, ring: Ring) -> Values:
        """What `to_bytes` made, (n_bytes,) uint8."""
        if self.kind == "ring":
            return torch.from_numpy(ring.unpack(content, self.shape))
        return content.reshape(self.shape)


class Stream:
    """Uniform values that all who have the key draw alike: AES-128 in counter mode."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        self._encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()

    def draw(self, part: Part) -> Values:
        """The next value."""
        n_bytes = part.n_bytes(_WORDS)
        return part.from_bytes(np.frombuffer(self._encryptor.update(bytes(n_bytes)), np.uint8), _WORDS)


class Correlation(abc.ABC):
    """The parts of one correlation and how they fit; subclasses are frozen dataclasses of integers and tuples."""

    @abc.abstractmethod
    def free(self) -> list[Part]:
        """The parts that are uniform."""

    def determined(self) -> list[Part]:
        """The parts that follow from the free ones."""
        return []

    def determine(self, free: list[Values], weight_masks: dict[int, Values]) -> list[Values]:
        """The determined parts."""
        return []


@dataclasses.dataclass(frozen=True)
class WeightMask(Correlation):
    """The mask that hides the weights of one layer, once for all samples: the coordinator's alone."""

    layer: int
    shape: Shape

    def free(self) -> list[Part]:
        """The mask."""
        return [Part("ring", self.shape, COORDINATOR)]


@dataclasses.dataclass(frozen=True)
class InputMask(Correlation):
    """The mask that hides the participant's share of a layer's input, and shares of what the layer makes of it."""

    layer: int
    map: LinearMap
    shape: Shape
    """Of a batch of inputs."""

    def free(self) -> list[Part]:
        """The mask, the participant's alone."""
        return [Part("ring", self.shape, PARTICIPANT)]

    def determined(self) -> list[Part]:
        """The layer's outputs for the mask, if its weights were the weights' mask."""
        return [Part("ring", self.map.output_shape(self.shape))]

    def determine(self, free: list[Values], weight_masks: dict[int, Values]) -> list[Values]:
        """By the layer's own map."""
        return [self.map(weight_masks[self.layer], free[0])]


@dataclasses.dataclass(frozen=True)
class SquareMask(Correlation):
    """A mask and its square: half a Beaver triple."""

    shape: Shape

    def free(self) -> list[Part]:
        """The mask."""
        return [Part("ring", self.shape)]

    def determined(self) -> list[Part]:
        """Its square."""
        return [Part("ring", self.shape)]

    def determine(self, free: list[Values], weight_masks: dict[int, Values]) -> list[Values]:
        """In the ring."""
        return [free[0] * free[0]]


@dataclasses.dataclass(frozen=True)
class PrivateAnd(Correlation):
    """For the AND of a bit that the coordinator knows and one that the participant knows."""

    shape: Shape

    def free(self) -> list[Part]:
        """A mask for each of them, which its owner knows."""
        return [Part("bits", self.shape, COORDINATOR), Part("bits", self.shape, PARTICIPANT)]

    def determined(self) -> list[Part]:
        """The AND of the masks."""
        return [Part("bits", self.shape)]

    def determine(self, free: list[Values], weight_masks: dict[int, Values]) -> list[Values]:
        """Bit by bit."""
        return [free[0] & free[1]]


@dataclasses.dataclass(frozen=True)
class BitProducts(Correlation):
    """Masks of several bits, and all products of them that some monomials need.

    With these, an AND of many bits takes one round and one opened bit for each: ABY2.0 (Patra et al., USENIX
    Security'21), section 3.1.4.
    """

    monomials: tuple[tuple[int, ...], ...]
    """Each the inputs it multiplies, by index."""
    shape: Shape
    """Of one input."""

    @property
    def subsets(self) -> list[tuple[int, ...]]:
        """All products of at least two masks into which the monomials of masked inputs unfold."""
        found = {
            subset
            for monomial in self.monomials
            for size in range(2, len(monomial) + 1)
            for subset in itertools.combinations(sorted(monomial), size)
        }
        return sorted(found)

    @property
    def n_inputs(self) -> int:
        """Of all monomials together."""
        return 1 + max(index for monomial in self.monomials for index in monomial)

    def free(self) -> list[Part]:
        """The masks."""
        return [Part("bits", (self.n_inputs, *self.shape))]

    def determined(self) -> list[Part]:
        """The products, in the order of `subsets`."""
        return [Part("bits", (len(self.subsets), *self.shape))]

    def determine(self, free: list[Values], weight_masks: dict[int, Values]) -> list[Values]:
        """Bit by bit."""
        (masks,) = free
        return [np.stack([np.bitwise_and.reduce(masks[list(subset)]) for subset in self.subsets])]


@dataclasses.dataclass(frozen=True)
class SelectMask(Correlation):
    """For values that are kept where a bit is set, and 0 elsewhere: masks of both, and of their product."""

    n_values: int
    """That share a bit."""
    n: int

    def free(self) -> list[Part]:
        """The bits' masks, packed, and those of the values."""
        return [Part("bits", (-(-self.n // 8),)), Part("ring", (self.n_values, self.n))]

    def determined(self) -> list[Part]:
        """The bits' masks as numbers, and their products with those of the values."""
        return [Part("ring", (self.n,)), Part("ring", (self.n_values, self.n))]

    def determine(self, free: list[Values], weight_masks: dict[int, Values]) -> list[Values]:
        """In the ring."""
        bits = as_numbers(free[0], self.n)
        return [bits, bits * free[1]]


def as_numbers(bits: Array, n: int) -> torch.Tensor:
    """The first n of packed bits, as (n,) int64."""
    return torch.from_numpy(np.unpackbits(bits, count=n, bitorder="little").astype(np.int64))


def deal(
    correlation: Correlation, coordinator: Stream, participant: Stream, weight_masks: dict[int, Values]
) -> tuple[list[Values], list[Values]]:
    """The coordinator's shares: those it can draw itself, and those that must be sent to it."""
    drawn, whole = [], []
    for part in correlation.free():
        shares = [
            stream.draw(part)
            for rank, stream in ((COORDINATOR, coordinator), (PARTICIPANT, participant))
            if part.owner in (None, rank)
        ]
        whole.append(_sum(part.kind, shares))
        if part.owner in (None, COORDINATOR):
            drawn.append(shares[0])
    if isinstance(correlation, WeightMask):
        weight_masks[correlation.layer] = whole[0]
    fitting = [
        _difference(part.kind, value, participant.draw(part))
        for part, value in zip(correlation.determined(), correlation.determine(whole, weight_masks), strict=True)
    ]
    return drawn, fitting


def draw(correlation: Correlation, rank: int, stream: Stream) -> list[Values]:
    """The shares that a party draws itself: the participant all of its own, the coordinator the free ones."""
    parts = [part for part in correlation.free() if part.owner in (None, rank)]
    if rank == PARTICIPANT:
        parts += correlation.determined()
    return [stream.draw(part) for part in parts]


def to_request(correlation: Correlation) -> tuple[Any, ...]:
    """The correlation as plain integers and tuples, which CrypTen's messages can carry."""
    fields = [getattr(correlation, field.name) for field in dataclasses.fields(correlation)]  # type: ignore[arg-type]
    return (
        type(correlation).__name__,
        *(dataclasses.astuple(field) if isinstance(field, LinearMap) else field for field in fields),
    )


def from_request(request: Sequence[Any]) -> Correlation:
    """What `to_request` made plain."""
    name, *fields = request
    if name == InputMask.__name__:
        fields[1] = LinearMap(*fields[1])
    kind: type[Correlation] = _KINDS[name]
    return kind(*fields)


_KINDS: dict[str, type[Correlation]] = {
    kind.__name__: kind for kind in (WeightMask, InputMask, SquareMask, PrivateAnd, BitProducts, SelectMask)
}


def _sum(kind: Kind, shares: list[Values]) -> Values:
    if len(shares) == 1:
        return shares[0]
    return shares[0] + shares[1] if kind == "ring" else shares[0] ^ shares[1]


def _difference(kind: Kind, whole: Values, share: Values) -> Values:
    return whole - share if kind == "ring" else whole ^ share
