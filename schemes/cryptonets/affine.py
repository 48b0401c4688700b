"""A network with squares for activations, as the matrices between its squares."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from ppbench.bundle import Array
from ppbench.errors import ConfigError
from ppbench.models.network import AvgPool2d, Conv2d, Flatten, Layer, Linear, Network, Square

Shape: TypeAlias = tuple[int, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Affine:
    """`matrix @ x + bias`, with maps flattened row by row."""

    matrix: Array
    """(out, in) float64."""
    bias: Array
    """(out,) float64."""


def affine_maps(network: Network, n_squares: int) -> list[Affine]:
    """The affine maps before, between and behind the squares of a network: `n_squares` + 1 of them.

    Raises ConfigError if the network has another number of squares or layers that are not linear.
    """
    segments: list[list[Layer]] = [[]]
    shapes = [network.input_shape]
    for index, layer in enumerate(network.layers):
        match layer:
            case Square():
                segments.append([])
                shapes.append(network.shapes[index + 1])
            case Conv2d() | Linear() | Flatten() | AvgPool2d():
                segments[-1].append(layer)
            case _:
                raise ConfigError(
                    f"model: layer {index} is {type(layer).__name__}, which cannot be computed on ciphertexts; "
                    "convolutions, dense layers, average pooling and squares can (model=cryptonets)"
                )
    if len(segments) != n_squares + 1:
        raise ConfigError(
            f"model: the network has {len(segments) - 1} squares; scheme.packing=throughput is for {n_squares} "
            "(model=cryptonets)"
        )
    return [_affine(layers, shape) for layers, shape in zip(segments, shapes, strict=True)]


def without_constants(maps: Sequence[Affine], rounded: Sequence[Array]) -> list[Affine]:
    """The maps of a network with `rounded` for their matrices, in which no constant is multiplied by a weight.

    An output that has no weight but 0 is the same for every sample: its square goes into the biases of the next map.
    """
    inputs = maps[0].matrix.shape[1]
    constant: Array = np.zeros(inputs, bool)
    squares: Array = np.zeros(inputs)
    found = []
    for affine, matrix in zip(maps, rounded, strict=True):
        bias = affine.bias + affine.matrix[:, constant] @ squares[constant]
        found.append(Affine(np.where(constant, 0, matrix), bias))
        constant, squares = np.asarray((found[-1].matrix == 0).all(axis=1)), bias**2
    return found


def check_weights(maps: Sequence[Affine], rounded: Sequence[Affine], bits: Sequence[int]) -> None:
    """Raise ConfigError if weights that round to 0, or are 0, leave nothing to compute on ciphertexts.

    `rounded` are the maps with weights of so many bits behind the point, without constants.
    """
    exact = without_constants(maps, [affine.matrix for affine in maps])
    for index, (one, other, n_bits) in enumerate(zip(exact, rounded, bits, strict=True)):
        lost = one.matrix.any(axis=1) & ~other.matrix.any(axis=1)
        # Of the first layer's many outputs, some may vanish.
        if lost.any() and (index > 0 or not other.matrix.any()):
            raise ConfigError(
                f"scheme.scale_bits: {n_bits} are too few for a layer in which all weights of an output round to 0"
            )
    if not (depends := exact[-1].matrix.any(axis=1)).all():
        raise ConfigError(
            f"model: logit {int(depends.argmin())} is the same for every sample, because weights are 0; a ciphertext "
            "of what is constant would hide nothing"
        )


def _affine(layers: Sequence[Layer], shape: Shape) -> Affine:
    width = math.prod(shape)
    without_bias = [
        dataclasses.replace(layer, bias=np.zeros_like(layer.bias)) if isinstance(layer, Linear | Conv2d) else layer
        for layer in layers
    ]
    # One pixel at a time is lit, so every weight comes out as it is, without rounding.
    matrix = _forward(without_bias, np.eye(width).reshape(width, *shape)).T
    bias = _forward(layers, np.zeros((1, *shape)))[0]
    return Affine(np.ascontiguousarray(matrix), bias)


def _forward(layers: Sequence[Layer], batch: Array) -> Array:
    for layer in layers:
        batch = layer(batch)
    return batch.reshape(len(batch), -1)
