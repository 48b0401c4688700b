"""A linear layer: the geometry that both parties know, and the weights that only the coordinator has."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from ppbench.bundle import Array
from ppbench.models.network import AvgPool2d, Conv2d, Linear


@dataclasses.dataclass(frozen=True)
class Geometry:
    """The shape of a convolution; a dense layer is one over maps of a single pixel."""

    inputs: tuple[int, int, int]
    """(maps, height, width)."""
    maps: int
    """That it puts out."""
    kernel: tuple[int, int]
    """(height, width)."""
    stride: int
    padding: int

    @property
    def n_inputs(self) -> int:
        """Values that go in."""
        return math.prod(self.inputs)

    @property
    def positions(self) -> tuple[int, int]:
        """(rows, columns) of a map that comes out."""
        rows, columns = (
            (side + 2 * self.padding - kernel) // self.stride + 1
            for side, kernel in zip(self.inputs[1:], self.kernel, strict=True)
        )
        return rows, columns

    @property
    def n_outputs(self) -> int:
        """Values that come out."""
        return self.maps * math.prod(self.positions)

    @functools.cached_property
    def windows(self) -> Array:
        """Which inputs an output takes, (positions, input maps x kernel); `n_inputs` stands for padding."""
        maps, height, width = self.inputs
        edge = (self.padding, self.padding)
        places = np.arange(self.n_inputs).reshape(maps, height, width)
        padded = np.pad(places, ((0, 0), edge, edge), constant_values=self.n_inputs)
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.kernel, axis=(1, 2))
        strided = windows[:, :: self.stride, :: self.stride]
        taken: Array = strided.transpose(1, 2, 0, 3, 4).reshape(math.prod(self.positions), -1)
        return taken


@dataclasses.dataclass(frozen=True, eq=False)
class LinearLayer:
    """The weights of one geometry."""

    geometry: Geometry
    weight: Array
    """(maps, input maps, kernel height, kernel width)."""
    bias: Array
    """(maps,)."""

    @classmethod
    def of(cls, layer: Conv2d | Linear, shape: tuple[int, ...]) -> LinearLayer:
        """A network's layer, for inputs of this shape."""
        if isinstance(layer, Conv2d):
            maps, _, *kernel = layer.weight.shape
            channels, height, width = shape
            inputs = (channels, height, width)
            geometry = Geometry(inputs, maps, (kernel[0], kernel[1]), layer.stride, layer.padding)
            return cls(geometry, layer.weight, layer.bias)
        geometry = Geometry((shape[0], 1, 1), len(layer.bias), (1, 1), stride=1, padding=0)
        return cls(geometry, layer.weight[:, :, np.newaxis, np.newaxis], layer.bias)

    @property
    def convolution(self) -> Conv2d:
        """The layer as a network's; one over single pixels if it is dense."""
        return Conv2d(self.weight, self.bias, self.geometry.stride, self.geometry.padding)

    @property
    def is_dense(self) -> bool:
        """Whether it takes maps of a single pixel, and puts out such maps."""
        return self.geometry.inputs[1:] == self.geometry.kernel == (1, 1) and self.geometry.padding == 0

    def __call__(self, values: Array) -> Array:
        """In clear: (n, values in) -> (n, values out)."""
        return self.convolution(values.reshape(-1, *self.geometry.inputs)).reshape(len(values), -1)

    def integers(self, bits: int) -> Array:
        """The weights times 2^bits, rounded, int64."""
        scaled: Array = np.rint(self.weight.astype(np.float64) * 2.0**bits).astype(np.int64)
        return scaled


def with_pooling(convolution: Conv2d, pool: AvgPool2d) -> Conv2d:
    """A convolution and the average pooling behind it as one convolution, with a larger kernel and stride."""
    maps, inputs, height, width = convolution.weight.shape
    reach = convolution.stride * (pool.size - 1)
    weight = np.zeros((maps, inputs, height + reach, width + reach))
    for row in range(0, reach + 1, convolution.stride):
        for column in range(0, reach + 1, convolution.stride):
            weight[:, :, row : row + height, column : column + width] += convolution.weight / pool.size**2
    return Conv2d(weight, convolution.bias, convolution.stride * pool.size, convolution.padding)
