"""A network as a function that SPU compiles: written in jax, in the order of steps that costs SPU the least.

jax is imported when a function is called, so that a process without it can still import this module.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from ppbench.bundle import Array
from ppbench.models.network import AvgPool2d, Conv2d, Flatten, Layer, Linear, MaxPool2d, Network, ReLU, Square

Traced: TypeAlias = Any
"""An array of jax's, which stands for a secret-shared one."""

_LAYOUT = ("NHWC", "HWIO", "NHWC")
"""Channels last is SPU's own layout: with any other it would transpose around each convolution."""


def parameters(network: Network) -> list[Array]:
    """The weights in the order and layout that `function` takes them, float32.

    A convolution's are (height, width, in, out) and (out,), a linear layer's (in, out) and (out,).
    """
    arrays: list[Array] = []
    for layer in network.layers:
        if isinstance(layer, Conv2d):
            arrays += [layer.weight.transpose(2, 3, 1, 0), layer.bias]
        elif isinstance(layer, Linear):
            arrays += [layer.weight.T, layer.bias]
    return [np.ascontiguousarray(array, np.float32) for array in arrays]


def function(network: Network, labels_only: bool = False, with_zero: bool = False) -> Callable[..., Traced]:
    """A function of samples (n, d) and then `parameters`, to logits (n, out), or to labels (n,) int32.

    Of the network itself only the layers and the shapes of their weights count. `with_zero`: a shared (1,) of 0
    comes before the parameters. Added to the samples it makes them shared as well, which moves nothing; SPU
    multiplies what one party owns in another order, in which it does not find what it keeps of the weights.
    """
    layers = _relu_after_pooling(network.layers)

    def answers(samples: Traced, *weights: Traced) -> Traced:
        left = iter(weights)
        batch = samples + next(left) if with_zero else samples
        if len(network.input_shape) == 3:
            batch = batch.reshape(-1, *network.input_shape).transpose(0, 2, 3, 1)
        for layer in layers:
            batch = _apply(layer, batch, left)
        return _largest(batch) if labels_only else batch

    return answers


def kept_open(zero: Traced, *weights: Traced) -> tuple[Traced, ...]:
    """`parameters`, marked, and then products of them with zeros, which only have to be computed once.

    SPU opens a marked weight under a mask in its first product and keeps that, rather than in every product: safe,
    as the mask of the other factor is drawn afresh each time. Of a bias nothing is opened.

    `zero` is as for `function`. The product must be as large as the weight: SPU 0.9.5 draws the mask of a weight it
    keeps without counting it as drawn, so the product's own random numbers are the same ones, and so are those drawn
    next as far as the mask is longer than the product. They would mask what the samples become at the next layer,
    and the coordinator knows them, for it knows both the weight and what was opened of it.
    """
    from spu.experimental import make_cached_var

    marked = [make_cached_var(weight) if weight.ndim > 1 else weight for weight in weights]
    return *marked, *(_product(zero, weight) for weight in marked if weight.ndim > 1)


def _product(zero: Traced, weight: Traced) -> Traced:
    """(rows, out), as many rows as the weight has; what SPU keeps of a weight is for the shape it was used in."""
    import jax
    import jax.numpy as jnp

    n_rows = weight.size // weight.shape[-1]
    factor = jnp.broadcast_to(zero, (n_rows, *weight.shape[:-1]))
    if weight.ndim == 2:
        return factor @ weight
    return jax.lax.conv_general_dilated(factor, weight, (1, 1), "VALID", dimension_numbers=_LAYOUT)


def _relu_after_pooling(layers: Sequence[Layer]) -> list[Layer]:
    # The maximum of ReLUs is the ReLU of the maximum, and on a quarter of the values it costs a quarter.
    ordered = list(layers)
    for index, (first, second) in enumerate(itertools.pairwise(layers)):
        if isinstance(first, ReLU) and isinstance(second, MaxPool2d):
            ordered[index], ordered[index + 1] = second, first
    return ordered


def _apply(layer: Layer, batch: Traced, weights: Iterator[Traced]) -> Traced:
    import jax
    import jax.numpy as jnp

    match layer:
        case Linear():
            return batch @ next(weights) + next(weights)
        case Conv2d(stride=stride, padding=padding):
            maps = jax.lax.conv_general_dilated(
                batch,
                next(weights),
                (stride, stride),
                [(padding, padding)] * 2,
                dimension_numbers=_LAYOUT,
            )
            return maps + next(weights)
        case ReLU():
            return jnp.maximum(batch, 0)
        case Square():
            return batch * batch
        case MaxPool2d(size=size):
            return _maximum(_corners(batch, size))
        case AvgPool2d(size=size):
            return _corners(batch, size).sum(axis=0) * (1 / size**2)
        case Flatten():
            # Row-major over (maps, height, width), as in `Network`.
            return (batch.transpose(0, 3, 1, 2) if batch.ndim == 4 else batch).reshape(batch.shape[0], -1)


def _corners(batch: Traced, size: int) -> Traced:
    """(n, height, width, maps) -> (size * size, n, height // size, width // size, maps)."""
    import jax.numpy as jnp

    height, width = (side - side % size for side in batch.shape[1:3])
    places = [(row, column) for row in range(size) for column in range(size)]
    return jnp.stack([batch[:, row:height:size, column:width:size] for row, column in places])


def _maximum(values: Traced) -> Traced:
    """Over the first axis, as a tree: each level compares all its pairs at once, in the rounds of one comparison."""
    import jax.numpy as jnp

    while (n := values.shape[0]) > 1:
        larger = jnp.maximum(values[: n // 2], values[n // 2 : n // 2 * 2])
        values = jnp.concatenate([larger, values[n // 2 * 2 :]]) if n % 2 else larger
    return values[0]


def _largest(logits: Traced) -> Traced:
    """(n, out) -> (n,) int32, the first of equals; a tree, where SPU's own argmax goes from one to the next."""
    import jax.numpy as jnp

    values = logits.T
    labels = jnp.broadcast_to(jnp.arange(len(values), dtype=jnp.int32)[:, None], values.shape)
    while (n := values.shape[0]) > 1:
        even = n // 2 * 2
        first, second = values[:even:2], values[1:even:2]
        later = second > first
        labels = jnp.concatenate([jnp.where(later, labels[1:even:2], labels[:even:2]), labels[even:]])
        values = jnp.concatenate([jnp.where(later, second, first), values[even:]])
    return labels[0]
