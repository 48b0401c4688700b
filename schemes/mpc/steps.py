"""The network as steps on shares: each says what correlations it uses up, and computes with them.

A share is a tensor of int64 modulo 2^k; both parties' add up to the fixed-point number. Our steps exploit what each
party knows, which CrypTen's, made for any number of equal parties, cannot: the coordinator its weights, each party
its own share. Where `weights`, `pooling` or `comparison` is `stock` the step is CrypTen's own.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Iterator

import numpy as np
import torch

from ppbench.models.network import AvgPool2d, Conv2d, Linear
from schemes.mpc.correlations import (
    COORDINATOR,
    PARTICIPANT,
    Correlation,
    InputMask,
    SquareMask,
    Values,
    WeightMask,
)
from schemes.mpc.linear_map import LinearMap
from schemes.mpc.selection import Selection
from schemes.mpc.session import CrypTen, Session

Shape = tuple[int, ...]


class Step(abc.ABC):
    """One step of a network on shares of a batch."""

    def needs(self, shape: Shape) -> list[Correlation]:
        """For a batch of this shape, n samples first."""
        return []

    @abc.abstractmethod
    def __call__(self, share: torch.Tensor, dealt: Iterator[list[Values]]) -> torch.Tensor:
        """Shares of the inputs -> shares of the outputs."""


class MaskedLinear(Step):
    """W x + b by one message from the participant, with weights that were masked and opened once.

    With x = x0 + x1, the coordinator alone multiplies its weights with x0. The participant sends x1 - a and holds
    W - B; the dealer gave shares of B a. Then W x = W (x0 + x1 - a) + (W - B) a + B a.
    """

    def __init__(self, index: int, layer: Linear | Conv2d, session: Session, scale: int) -> None:
        self._index = index
        self._map = LinearMap.of(layer)
        self._session = session
        self._scale = scale
        # What is not the coordinator's is zeros here.
        self._weight = torch.from_numpy(np.rint(layer.weight.astype(np.float64) * scale).astype(np.int64))
        bias = np.rint(layer.bias.astype(np.float64) * scale**2).astype(np.int64)
        self._bias = torch.from_numpy(bias).reshape(self._map.bias_shape())
        self._opened: torch.Tensor

    def weight_mask(self) -> WeightMask:
        """What hides the weights."""
        return WeightMask(self._index, self._map.weight_shape)

    def open_weights(self, dealt: list[Values]) -> None:
        """Once: the participant learns the masked weights."""
        weight = self._weight.numpy()
        if self._session.rank == COORDINATOR:
            self._session.send(weight - dealt[0].numpy())
        else:
            (opened,) = self._session.receive("masked weights", weight)
            self._opened = torch.from_numpy(opened)

    def needs(self, shape: Shape) -> list[Correlation]:
        """A mask for the participant's share."""
        return [InputMask(self._index, self._map, shape)]

    def __call__(self, share: torch.Tensor, dealt: Iterator[list[Values]]) -> torch.Tensor:
        """At the scale of the inputs again."""
        if self._session.rank == PARTICIPANT:
            mask, product = next(dealt)
            self._session.send((share - mask).numpy())
            outputs = self._map(self._opened, mask) + product
        else:
            (product,) = next(dealt)
            (masked,) = self._session.receive("masked inputs", share.numpy())
            outputs = self._map(self._weight, share + torch.from_numpy(masked)) + product + self._bias
        return self._session.ring.truncated(outputs, self._scale)


class Square(Step):
    """x * x by opening x - r: CrypTen's own protocol, with an exchange in place of an all-reduce."""

    def __init__(self, session: Session, scale: int) -> None:
        self._session = session
        self._scale = scale

    def needs(self, shape: Shape) -> list[Correlation]:
        """A mask and its square."""
        return [SquareMask(shape)]

    def __call__(self, share: torch.Tensor, dealt: Iterator[list[Values]]) -> torch.Tensor:
        """At the scale of the inputs again."""
        mask, mask_squared = next(dealt)
        masked = share - mask
        (other,) = self._session.exchange("masked inputs", masked.numpy())
        opened = masked + torch.from_numpy(other)
        squares = mask_squared + 2 * opened * mask
        if self._session.rank == COORDINATOR:
            squares += opened * opened
        return self._session.ring.truncated(squares, self._scale)


class Relu(Step):
    """x where it is not negative."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection

    def needs(self, shape: Shape) -> list[Correlation]:
        """Of each value a sign and a selection."""
        return self._selection.needs(1, math.prod(shape))

    def __call__(self, share: torch.Tensor, dealt: Iterator[list[Values]]) -> torch.Tensor:
        """Any shape."""
        return self._selection(share.reshape(1, -1), dealt).reshape(share.shape)


class TreeMaxPool(Step):
    """The maximum of each square, by maxima of two: of a 2x2 square 3 comparisons where CrypTen makes 12."""

    def __init__(self, size: int, selection: Selection) -> None:
        self._size = size
        self._selection = selection

    def needs(self, shape: Shape) -> list[Correlation]:
        """Of each pair a comparison."""
        n = shape[0] * shape[1] * math.prod(side // self._size for side in shape[2:])
        return [need for pairs in _halvings(self._size**2) for need in self._selection.needs(1, n * pairs)]

    def __call__(self, share: torch.Tensor, dealt: Iterator[list[Values]]) -> torch.Tensor:
        """(n, maps, height, width) -> (n, maps, height / size, width / size)."""
        candidates = torch.stack(list(_corners(share, self._size)))
        for half in _halvings(self._size**2):
            one, other, left = candidates[:half], candidates[half : 2 * half], candidates[2 * half :]
            more = self._selection((one - other).reshape(1, -1), dealt)
            candidates = torch.cat([other + more.reshape(other.shape), left])
        return candidates[0]


class Argmax(Step):
    """The index of the largest logit: a tournament of two at a time, the indices carried along."""

    def __init__(self, selection: Selection, rank: int) -> None:
        self._selection = selection
        self._rank = rank

    def needs(self, shape: Shape) -> list[Correlation]:
        """Of each pair a comparison, by which value and index are selected."""
        n, n_classes = shape
        return [need for pairs in _halvings(n_classes) for need in self._selection.needs(2, n * pairs)]

    def __call__(self, share: torch.Tensor, dealt: Iterator[list[Values]]) -> torch.Tensor:
        """(n, classes) -> (n,) shares of labels."""
        n, n_classes = share.shape
        indices = torch.arange(n_classes) * (self._rank == COORDINATOR)
        candidates = torch.stack([share.T, indices[:, np.newaxis].expand(n_classes, n)])
        for half in _halvings(n_classes):
            one, other, left = candidates[:, :half], candidates[:, half : 2 * half], candidates[:, 2 * half :]
            more = self._selection((one - other).reshape(2, -1), dealt)
            candidates = torch.cat([other + more.reshape(other.shape), left], dim=1)
        return candidates[1, 0]


class AvgPool(Step):
    """The mean of each square: no traffic."""

    def __init__(self, layer: AvgPool2d, session: Session) -> None:
        self._size = layer.size
        self._ring = session.ring

    def __call__(self, share: torch.Tensor, dealt: Iterator[list[Values]]) -> torch.Tensor:
        """(n, maps, height, width) -> (n, maps, height / size, width / size)."""
        return self._ring.truncated(torch.stack(list(_corners(share, self._size))).sum(0), self._size**2)


class Flatten(Step):
    """Maps to a vector: no traffic."""

    def __call__(self, share: torch.Tensor, dealt: Iterator[list[Values]]) -> torch.Tensor:
        """(n, ...) -> (n, d)."""
        return share.flatten(1)


class Stock(Step):
    """A step of CrypTen's own, on its tensors."""

    def __init__(self, session: Session, module: CrypTen) -> None:
        self._session = session
        self._module = module

    def __call__(self, share: torch.Tensor, dealt: Iterator[list[Values]]) -> torch.Tensor:
        """What the module makes of it."""
        tensor = self._session.crypten.mpc.MPCTensor.from_shares(share)
        outputs: torch.Tensor = self._module(tensor).share
        return outputs


def _halvings(n_candidates: int) -> Iterator[int]:
    """How many pairs are compared at once until one candidate is left."""
    while n_candidates > 1:
        yield n_candidates // 2
        n_candidates -= n_candidates // 2


def _corners(batch: torch.Tensor, size: int) -> Iterator[torch.Tensor]:
    height, width = (side - side % size for side in batch.shape[2:])
    for row in range(size):
        for column in range(size):
            yield batch[:, :, row:height:size, column:width:size]
