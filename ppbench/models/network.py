"""A feed-forward network as plain data, and its forward pass in numpy alone.

A device that only runs a network imports this and no training framework: torch alone costs 218 MB of memory.
Schemes that compute on the weights (homomorphic encryption, MPC) read them from here.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.errors import ConfigError, unknown

if TYPE_CHECKING:
    from torch import nn

Shape: TypeAlias = tuple[int, ...]
"""The shape of one sample, without the batch axis."""

_CHUNK_FLOATS = 1 << 21
"""The forward pass takes as many samples at a time as keep its largest intermediate below this (8 MB)."""


class _Layer(abc.ABC):
    """One step of a network; the defaults are those of an element-wise layer."""

    @abc.abstractmethod
    def __call__(self, batch: Array) -> Array:
        """(n, *input shape) float32 -> (n, *output shape) float32."""

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of one output for inputs of this shape; ConfigError if the layer cannot take them."""
        return shape

    def macs(self, shape: Shape) -> int:
        """Multiply-accumulates for one input of this shape; biases, activations and pooling count none."""
        return 0

    def workspace(self, shape: Shape) -> int:
        """The floats of the largest array made for one input of this shape."""
        return math.prod(self.output_shape(shape))


@dataclasses.dataclass(frozen=True, eq=False)
class Linear(_Layer):
    """`weight @ x + bias`."""

    weight: Array
    """(out, in) float32."""
    bias: Array
    """(out,) float32."""

    @classmethod
    def initial(cls, inputs: int, outputs: int, random: np.random.Generator) -> Linear:
        """A layer to be trained, drawn as PyTorch draws it by default."""
        return cls(*_initial((outputs, inputs), random))

    def __call__(self, batch: Array) -> Array:
        """(n, in) -> (n, out)."""
        return batch @ self.weight.T + self.bias

    def output_shape(self, shape: Shape) -> Shape:
        """(in,) -> (out,)."""
        if shape != self.weight.shape[1:]:
            raise ConfigError(f"Linear takes samples of shape {self.weight.shape[1:]}, not {shape}")
        return self.bias.shape

    def macs(self, shape: Shape) -> int:
        """One for each weight."""
        return self.weight.size


@dataclasses.dataclass(frozen=True, eq=False)
class Conv2d(_Layer):
    """A cross-correlation over zero-padded maps, as in PyTorch."""

    weight: Array
    """(out, in, kernel height, kernel width) float32."""
    bias: Array
    """(out,) float32."""
    stride: int = 1
    padding: int = 0

    @classmethod
    def initial(
        cls, inputs: int, outputs: int, kernel: int, random: np.random.Generator, *, stride: int = 1, padding: int = 0
    ) -> Conv2d:
        """A layer to be trained, drawn as PyTorch draws it by default."""
        return cls(*_initial((outputs, inputs, kernel, kernel), random), stride, padding)

    def __call__(self, batch: Array) -> Array:
        """(n, in, height, width) -> (n, out, rows, columns)."""
        edge = (self.padding, self.padding)
        padded = np.pad(batch, ((0, 0), (0, 0), edge, edge)) if self.padding else batch
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.weight.shape[2:], axis=(2, 3))
        windows = windows[:, :, :: self.stride, :: self.stride]
        n, _, height, width = windows.shape[:4]
        # With the positions innermost the copy runs along rows, and the product comes out in the right order.
        columns = windows.transpose(0, 1, 4, 5, 2, 3).reshape(n, -1, height * width)
        maps: Array = self.weight.reshape(len(self.bias), -1) @ columns + self.bias[:, np.newaxis]
        return maps.reshape(n, len(self.bias), height, width)

    def output_shape(self, shape: Shape) -> Shape:
        """(in, height, width) -> (out, rows, columns)."""
        outputs, inputs, *kernel = self.weight.shape
        if len(shape) != 3 or shape[0] != inputs:
            raise ConfigError(f"Conv2d takes samples of shape ({inputs}, height, width), not {shape}")
        sides = [side + 2 * self.padding for side in shape[1:]]
        if any(side < k for side, k in zip(sides, kernel, strict=True)):
            raise ConfigError(f"Conv2d has a kernel of {kernel}, larger than its padded input of {sides}")
        return (outputs, *((side - k) // self.stride + 1 for side, k in zip(sides, kernel, strict=True)))

    def macs(self, shape: Shape) -> int:
        """One for each weight at each position."""
        return self.weight.size * math.prod(self.output_shape(shape)[1:])

    def workspace(self, shape: Shape) -> int:
        """The windows side by side, or the maps."""
        maps, *positions = self.output_shape(shape)
        return max(maps, math.prod(self.weight.shape[1:])) * math.prod(positions)


@dataclasses.dataclass(frozen=True)
class ReLU(_Layer):
    """`max(x, 0)`: many inputs map to one output (paper, section 3.2)."""

    def __call__(self, batch: Array) -> Array:
        """Any shape -> the same shape."""
        return np.maximum(batch, 0)


@dataclasses.dataclass(frozen=True)
class Square(_Layer):
    """`x * x`: the activation homomorphic encryption can compute."""

    def __call__(self, batch: Array) -> Array:
        """Any shape -> the same shape."""
        return np.square(batch)


@dataclasses.dataclass(frozen=True)
class _Pool2d(_Layer):
    size: int
    """Side of the squares pooled, in pixels, and the step between them; what is left over is dropped."""

    def output_shape(self, shape: Shape) -> Shape:
        """(maps, height, width) -> (maps, height // size, width // size)."""
        if len(shape) != 3 or min(shape[1:]) < self.size:
            raise ConfigError(
                f"{type(self).__name__} takes samples of shape (maps, height, width) with sides of at least "
                f"{self.size}, not {shape}"
            )
        return (shape[0], shape[1] // self.size, shape[2] // self.size)

    def _corners(self, batch: Array) -> Iterator[Array]:
        """For each place in a square, the pixels there: far faster to pool than axes of length 2 are."""
        height, width = (side - side % self.size for side in batch.shape[2:])
        for row in range(self.size):
            for column in range(self.size):
                yield batch[:, :, row : height : self.size, column : width : self.size]


@dataclasses.dataclass(frozen=True)
class MaxPool2d(_Pool2d):
    """The maximum of each square."""

    def __call__(self, batch: Array) -> Array:
        """(n, maps, height, width) -> (n, maps, height // size, width // size)."""
        return functools.reduce(np.maximum, self._corners(batch))


@dataclasses.dataclass(frozen=True)
class AvgPool2d(_Pool2d):
    """The mean of each square."""

    def __call__(self, batch: Array) -> Array:
        """(n, maps, height, width) -> (n, maps, height // size, width // size)."""
        return functools.reduce(np.add, self._corners(batch)) / np.float32(self.size**2)


@dataclasses.dataclass(frozen=True)
class Flatten(_Layer):
    """Maps to a vector, row-major."""

    def __call__(self, batch: Array) -> Array:
        """(n, ...) -> (n, d)."""
        return batch.reshape(len(batch), -1)

    def output_shape(self, shape: Shape) -> Shape:
        """Any shape -> (d,), its product."""
        return (math.prod(shape),)


Layer: TypeAlias = Linear | Conv2d | ReLU | Square | MaxPool2d | AvgPool2d | Flatten

_KINDS: dict[str, type[Layer]] = {
    kind.__name__: kind for kind in (Linear, Conv2d, ReLU, Square, MaxPool2d, AvgPool2d, Flatten)
}


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A feed-forward network from flat samples to vectors.

    Raises ConfigError, naming the layer, if the layers do not fit each other or do not end in a vector.
    """

    input_shape: Shape
    """What one flat sample is reshaped to before the first layer: (d,), or (maps, height, width)."""
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if len(self.shapes[-1]) != 1:
            raise ConfigError(f"a network ends in a vector, not in {self.shapes[-1]}: add a Flatten")

    @functools.cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The shape of one sample before the first layer and after each layer."""
        shapes = [self.input_shape]
        for index, layer in enumerate(self.layers):
            try:
                shapes.append(layer.output_shape(shapes[-1]))
            except ConfigError as error:
                raise ConfigError(f"layer {index} of the network: {error}") from None
        return tuple(shapes)

    def __call__(self, samples: Array) -> Array:
        """(n, d) float32 in [0, 1] -> (n, out) float32. Raises ConfigError if d is not the network's."""
        width = math.prod(self.input_shape)
        if samples.ndim != 2 or samples.shape[1] != width:
            raise ConfigError(f"the network takes samples of shape (n, {width}), not {samples.shape}")
        outputs = np.empty((len(samples), *self.shapes[-1]), np.float32)
        for start in range(0, len(samples), self._chunk):
            stop = start + self._chunk
            outputs[start:stop] = self._forward(samples[start:stop])
        return outputs

    @property
    def n_parameters(self) -> int:
        """The number of trained values, biases included."""
        weighted = [layer for layer in self.layers if isinstance(layer, Linear | Conv2d)]
        return sum(layer.weight.size + layer.bias.size for layer in weighted)

    @property
    def is_finite(self) -> bool:
        """Whether all trained values are numbers that are finite."""
        weighted = [layer for layer in self.layers if isinstance(layer, Linear | Conv2d)]
        return all(np.isfinite(array).all() for layer in weighted for array in (layer.weight, layer.bias))

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one sample."""
        return sum(layer.macs(shape) for layer, shape in self._inputs())

    def to_tree(self) -> Tree:
        """The network as a tree that `ppbench.bundle` can keep."""
        return {
            "input_shape": list(self.input_shape),
            "layers": [{"kind": type(layer).__name__, **_fields(layer)} for layer in self.layers],
        }

    @classmethod
    def from_tree(cls, tree: Tree) -> Network:
        """The network that `to_tree` took apart. Raises ConfigError for a kind of layer it does not know."""
        return cls(tuple(tree["input_shape"]), tuple(_layer(**layer) for layer in tree["layers"]))

    def to_torch(self, *, batch_norm: bool = False) -> nn.Sequential:
        """A PyTorch module with a copy of the weights, which takes (n, d) like the network.

        With `batch_norm`, each convolution is followed by a batch normalisation to be trained with it.
        """
        from ppbench.models import torch_modules

        return torch_modules.from_network(self, batch_norm=batch_norm)

    @classmethod
    def from_torch(cls, module: nn.Module, input_shape: Shape) -> Network:
        """A copy of a PyTorch module made of layers a network has, itself or in (nested) nn.Sequential.

        Raises ConfigError, naming the layer, for any other one.
        """
        from ppbench.models import torch_modules

        return cls(input_shape, tuple(torch_modules.layers(module)))

    @functools.cached_property
    def _chunk(self) -> int:
        widest = max((layer.workspace(shape) for layer, shape in self._inputs()), default=1)
        return max(1, _CHUNK_FLOATS // widest)

    def _inputs(self) -> Iterator[tuple[Layer, Shape]]:
        return zip(self.layers, self.shapes[:-1], strict=True)

    def _forward(self, samples: Array) -> Array:
        batch = samples.reshape(-1, *self.input_shape)
        for layer in self.layers:
            batch = layer(batch)
        return batch


def _initial(shape: Shape, random: np.random.Generator) -> tuple[Array, Array]:
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    weight = random.uniform(-bound, bound, shape).astype(np.float32)
    return weight, random.uniform(-bound, bound, shape[:1]).astype(np.float32)


def _fields(layer: Layer) -> dict[str, Any]:
    return {field.name: getattr(layer, field.name) for field in dataclasses.fields(layer)}


def _layer(kind: str, **fields: Any) -> Layer:
    if kind not in _KINDS:
        raise unknown("kind of layer", kind, _KINDS)
    return _KINDS[kind](**fields)
