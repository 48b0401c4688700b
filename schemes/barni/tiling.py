"""Convolutions as products of polynomials: values and weights as coefficients.

Huang, Lu, Hong and Ding, Cheetah, USENIX Security'22, section 3: the coefficients of a product of two polynomials are
sums of products of theirs, as those of a convolution are. With the pixels of x in order and the kernel w mirrored,
some coefficients of x w are the convolution's outputs, and no rotation is needed. Over X^N + 1 a ciphertext has room
for several slots side by side: one for each pair of an image and a map that comes out.

All others of the N coefficients are sums that nobody asked for; the coordinator does not send them.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator

import numpy as np

from ppbench.bundle import Array
from schemes.barni.linear import Geometry

MAX_WEIGHT_POLYNOMIALS = 1024
"""Of a layer that is tiled for several images at a time: at N = 2048, 16 MB."""


@dataclasses.dataclass(frozen=True)
class Tiling:
    """How many images, maps in and maps out share a polynomial, and where each value stands."""

    geometry: Geometry
    degree: int
    """N."""
    images: int
    channels: int
    """Maps that go in."""
    maps: int
    """Maps that come out."""

    @property
    def n_inputs(self) -> int:
        """Polynomials of a group of images."""
        return math.ceil(self.geometry.inputs[0] / self.channels)

    @property
    def n_answers(self) -> int:
        """Polynomials that answer a group of images."""
        return math.ceil(self.geometry.maps / self.maps)

    def n_groups(self, n_images: int) -> int:
        """Groups that n images make; the last one may have fewer than the others."""
        return math.ceil(n_images / self.images)

    @functools.cached_property
    def inputs(self) -> Array:
        """Where the values of a group stand in its `n_inputs` polynomials, laid end to end: (images, n_inputs)."""
        maps, height, width = self.geometry.inputs
        image, channel, row, column = np.ix_(*map(np.arange, (self.images, maps, height, width)))
        polynomial, channel = np.divmod(channel, self.channels)
        slot = image * self.maps * self._span
        place = channel * self._map_size + row * self._row_size + column
        places: Array = (polynomial * self.degree + slot + place).reshape(self.images, -1)
        return places

    @functools.cached_property
    def outputs(self) -> Array:
        """Where the outputs of a group stand in its `n_answers` polynomials, laid end to end: (images, n_outputs)."""
        rows, columns = self.geometry.positions
        image, channel, row, column = np.ix_(*map(np.arange, (self.images, self.geometry.maps, rows, columns)))
        polynomial, channel = np.divmod(channel, self.maps)
        slot = (image * self.maps + channel) * self._span
        place = (row * self._row_size + column) * self.geometry.stride
        places: Array = (polynomial * self.degree + slot + place).reshape(self.images, -1)
        return places

    def polynomials(self, values: Array) -> Array:
        """(n, values in) -> (groups x `n_inputs`, N) of the same type; what is empty is 0."""
        groups = self.n_groups(len(values))
        padded = np.zeros((groups * self.images, values.shape[1]), values.dtype)
        padded[: len(values)] = values
        coefficients = np.zeros((groups, self.n_inputs * self.degree), values.dtype)
        coefficients[:, self.inputs.ravel()] = padded.reshape(groups, -1)
        return coefficients.reshape(-1, self.degree)

    def weights(self, weight: Array) -> Array:
        """(maps out, maps in, kernel height, kernel width) -> (`n_answers`, `n_inputs`, N) of the same type."""
        maps, inputs, height, width = np.ix_(*map(np.arange, weight.shape))
        answer, slot = np.divmod(maps, self.maps)
        polynomial, channel = np.divmod(inputs, self.channels)
        pad = self.geometry.padding
        # A kernel's place d has the exponent -d: there it meets the pixel d places behind the one it belongs to.
        exponent = slot * self._span - (channel * self._map_size + (height - pad) * self._row_size + (width - pad))
        coefficients = np.zeros((self.n_answers, self.n_inputs, self.degree), weight.dtype)
        # X^N = -1.
        coefficients[answer, polynomial, exponent % self.degree] = np.where(exponent < 0, -weight, weight)
        return coefficients

    @property
    def _row_size(self) -> int:
        """From a row to the next one: one padding is right of a row and left of the next."""
        return self.geometry.inputs[2] + self.geometry.padding

    @property
    def _map_size(self) -> int:
        return (self.geometry.inputs[1] + self.geometry.padding) * self._row_size

    @property
    def _span(self) -> int:
        return span(self.geometry, self.channels)


def span(geometry: Geometry, channels: int) -> int:
    """Coefficients of one slot, whose windows meet no pixel of the slots beside it."""
    _, height, width = geometry.inputs
    pad = geometry.padding
    row = width + pad
    last_pixel = ((channels - 1) * (height + pad) + height - 1) * row + width - 1
    edge = pad * row + pad
    rows, columns = geometry.positions
    # Where the padding is wider than the kernel, outputs stand behind all that they are made of.
    last_output = ((rows - 1) * row + columns - 1) * geometry.stride
    return max(last_pixel + edge, last_output) + 1


def best(geometry: Geometry, degree: int, n_images: int, up: float, down: float) -> Tiling | None:
    """The tiling that moves the fewest bytes for a batch, if a polynomial up costs `up` and an answer `down`.

    None if not even one map has room in a polynomial of this degree.
    """
    tilings = _tilings(geometry, degree, n_images)
    return min(tilings, key=lambda t: t.n_groups(n_images) * (t.n_inputs * up + t.n_answers * down), default=None)


def _tilings(geometry: Geometry, degree: int, n_images: int) -> Iterator[Tiling]:
    n_channels = geometry.inputs[0]
    # In order, so that both parties choose the same of two that are as good.
    for channels in sorted({math.ceil(n_channels / parts) for parts in range(1, n_channels + 1)}):
        n_slots = degree // span(geometry, channels)
        for images in range(1, min(n_images, n_slots) + 1):
            tiling = Tiling(geometry, degree, images, channels, min(geometry.maps, n_slots // images))
            if images == 1 or tiling.n_inputs * tiling.n_answers <= MAX_WEIGHT_POLYNOMIALS:
                yield tiling
