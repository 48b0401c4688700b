"""Where the values of a small network stand in the slots of one ciphertext, so that few rotations compute it.

The network is that of TenSEAL's tutorial 4: a convolution, a square, a dense layer, a square, a dense layer. Every
step multiplies the slots by weights, rotates and adds. Two habits keep rotations few: what is summed lies at a
stride that divides the number of slots, so that the sum comes out in every copy at once; and where it cannot, the
weights leave a gap as wide as the copies that the next layer needs.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from ppbench.bundle import Array
from ppbench.errors import ConfigError
from ppbench.models.network import Conv2d, Flatten, Linear, Network, Square

KERNEL, STRIDE, MAPS, HIDDEN = 7, 3, 4, 64
"""Of the tutorial network: side and step of the windows in pixels, maps, width of the hidden layer."""


@dataclasses.dataclass(frozen=True)
class Layers:
    """The weighted layers of the network."""

    convolution: Conv2d
    hidden: Linear
    output: Linear

    @classmethod
    def of(cls, network: Network) -> Layers:
        """Raises ConfigError, naming the model's fault, for any other network than the tutorial's."""
        match network.layers:
            case (Conv2d() as convolution, Square(), Flatten(), Linear() as hidden, Square(), Linear() as output):
                kernel = (MAPS, 1, KERNEL, KERNEL)
                fits = (convolution.weight.shape, convolution.stride, convolution.padding) == (kernel, STRIDE, 0)
                if fits and len(hidden.bias) == HIDDEN:
                    return cls(convolution, hidden, output)
        kinds = " - ".join(type(layer).__name__ for layer in network.layers)
        raise ConfigError(
            f"scheme.packing=latency runs a convolution of {MAPS} maps, {KERNEL}x{KERNEL}, stride {STRIDE}, a square, "
            f"a dense layer of {HIDDEN}, a square and a dense layer, not {kinds}: set model=square_tutorial"
        )


@dataclasses.dataclass(frozen=True)
class Layout:
    """The slots of one image, for a data set's shape and classes.

    After the convolution, slot u holds feature u mod `features`; the hidden layer's outputs have a block of slots
    each; class c of the result is in every slot u with u mod `block` = c, and the other slots hold nothing.
    """

    n_slots: int
    sample_shape: tuple[int, ...]
    n_classes: int

    def __post_init__(self) -> None:
        """Refuse what does not fit."""
        if len(self.sample_shape) != 2 or min(self.sample_shape) < KERNEL:
            raise ConfigError(
                f"scheme.packing=latency takes images of at least {KERNEL}x{KERNEL}, not {self.sample_shape}"
            )
        if self.windows * KERNEL**2 > self.n_slots:
            needed = 2 * self.windows * _power_of_two(KERNEL**2)
            raise ConfigError(
                f"an image of {self.sample_shape} has {self.windows} windows of {KERNEL**2} pixels for {self.n_slots} "
                f"slots: scheme.poly_modulus_degree must be at least {needed}"
            )
        if self.n_classes > self.block:
            raise ConfigError(f"scheme.packing=latency has room for {self.block} classes, not {self.n_classes}")

    @property
    def positions(self) -> tuple[int, int]:
        """Rows and columns of windows."""
        height, width = ((side - KERNEL) // STRIDE + 1 for side in self.sample_shape)
        return height, width

    @property
    def windows(self) -> int:
        """Slots for one pixel of every window."""
        return _power_of_two(math.prod(self.positions))

    @property
    def features(self) -> int:
        """Slots after which the convolution's output repeats."""
        return self.windows * MAPS

    @property
    def block(self) -> int:
        """Slots of one hidden value."""
        return self.n_slots // HIDDEN

    @property
    def gap(self) -> int:
        """Slots at a block's start that its sum skips, so that it comes out whole in so many slots and one more."""
        return self.n_classes - 1

    @property
    def map_rotations(self) -> list[int]:
        """By which the products with the convolution's weights are moved onto one another."""
        return [self.windows * j for j in range(MAPS)]

    @property
    def pixel_sums(self) -> list[int]:
        """Rotations that sum a window's pixels."""
        return _doublings(self.features, self.n_slots)

    @property
    def feature_rotations(self) -> list[int]:
        """By which the features are moved past the hidden layer's weights."""
        return list(range(0, self.features, self.block - self.gap))

    @property
    def block_sums(self) -> list[int]:
        """Rotations that sum a block."""
        return _doublings(1, self.block)

    @property
    def class_sums(self) -> list[int]:
        """Rotations that sum over the hidden values."""
        return _doublings(self.block, self.n_slots)

    @property
    def rotations(self) -> set[int]:
        """All of them, in slots to the left."""
        sums = {*self.pixel_sums, *self.block_sums, *self.class_sums}
        return (sums | {*self.map_rotations, *self.feature_rotations}) - {0}

    def image(self, sample: Array) -> Array:
        """(d,) -> (slots,): pixel p of window w in slot w + windows * p; a pixel is in several windows."""
        pixels = sample.reshape(self.sample_shape)
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (KERNEL, KERNEL))[::STRIDE, ::STRIDE]
        columns = windows.reshape(-1, KERNEL**2).T
        slots = np.zeros((self.n_slots // self.windows, self.windows))
        slots[: KERNEL**2, : columns.shape[1]] = columns
        return slots.ravel()

    def convolution(self, layer: Conv2d) -> list[Array]:
        """The weights to multiply an image by, (slots,) for each of `map_rotations`."""
        pixel = np.arange(self.n_slots) // self.windows
        weights = np.zeros((MAPS, self.n_slots // self.windows))
        weights[:, : KERNEL**2] = layer.weight.reshape(MAPS, -1)
        return [weights[(pixel - j) % MAPS, pixel] for j in range(MAPS)]

    def convolution_bias(self, layer: Conv2d) -> Array:
        """(slots,)."""
        return layer.bias[np.arange(self.n_slots) // self.windows % MAPS].astype(float)

    def hidden(self, layer: Linear) -> list[Array]:
        """The weights to multiply the features by, (slots,) for each of `feature_rotations`."""
        slot = np.arange(self.n_slots)
        matrix = self._by_feature(layer)
        vectors = []
        for rotation in self.feature_rotations:
            order = slot % self.block - self.gap + rotation
            wanted = (slot % self.block >= self.gap) & (order < self.features)
            vectors.append(np.where(wanted, matrix[slot // self.block, (slot + rotation) % self.features], 0))
        return vectors

    def hidden_bias(self, layer: Linear) -> Array:
        """(slots,)."""
        return np.repeat(layer.bias.astype(float), self.block)

    def output(self, layer: Linear) -> Array:
        """The weights to multiply the squared hidden values by, (slots,); they hide what else stands there."""
        weights = np.zeros((HIDDEN, self.block))
        weights[:, : self.n_classes] = layer.weight.T
        return weights.ravel()

    def output_bias(self, layer: Linear) -> Array:
        """(slots,)."""
        bias = np.zeros((HIDDEN, self.block))
        bias[:, : self.n_classes] = layer.bias
        return bias.ravel()

    def _by_feature(self, layer: Linear) -> Array:
        """(hidden, features): the layer's weights, with none for windows that the image does not have."""
        matrix = np.zeros((HIDDEN, MAPS, self.windows))
        matrix[:, :, : math.prod(self.positions)] = layer.weight.reshape(HIDDEN, MAPS, -1)
        return matrix.reshape(HIDDEN, self.features)


def _doublings(first: int, end: int) -> list[int]:
    """first, 2 first, 4 first, ... below `end`."""
    return [first << i for i in range((end // first).bit_length() - 1)]


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()
