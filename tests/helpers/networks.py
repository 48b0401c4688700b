"""Layers and networks as hypothesis draws them."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import strategies as st

from ppbench.bundle import Array
from ppbench.models.network import AvgPool2d, Conv2d, Flatten, Layer, Linear, MaxPool2d, Network, ReLU, Square


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Conv2d, tuple[int, int, int]]:
    """A convolution with small integers for weights, and the shape of what goes in."""
    maps, height, width = draw(st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7)))
    padding = draw(st.integers(0, 2))
    kernel = draw(st.tuples(st.integers(1, min(4, height + 2 * padding)), st.integers(1, min(4, width + 2 * padding))))
    outputs = draw(st.integers(1, 5))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    weight, bias = random.integers(-9, 10, (outputs, maps, *kernel)), random.integers(-9, 10, outputs)
    return Conv2d(weight, bias, draw(st.integers(1, 3)), padding), (maps, height, width)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Convolutions and pooling, then dense layers, with and without activations between them."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape: tuple[int, ...] = (draw(st.integers(1, 2)), draw(st.integers(2, 8)), draw(st.integers(2, 8)))
    layers: list[Layer] = []

    def add(layer: Layer) -> None:
        nonlocal shape
        layers.append(layer)
        shape = layer.output_shape(shape)

    input_shape = shape
    for _ in range(draw(st.integers(0, 2))):
        kernel = draw(st.integers(1, min(3, *shape[1:])))
        convolution = Conv2d.initial(shape[0], draw(st.integers(1, 3)), kernel, random, padding=draw(st.integers(0, 1)))
        add(dataclasses.replace(convolution, stride=draw(st.integers(1, 2))))
        activations: list[Layer] = [ReLU(), Square(), AvgPool2d(2), MaxPool2d(2)]
        for layer in draw(st.lists(st.sampled_from(activations), max_size=2)):
            if isinstance(layer, ReLU | Square) or min(shape[1:]) >= 2:
                add(layer)
    add(Flatten())
    for _ in range(draw(st.integers(0 if len(layers) > 1 else 1, 2))):
        add(Linear.initial(shape[0], draw(st.integers(1, 12)), random))
        if draw(st.booleans()):
            add(ReLU())
    if not any(isinstance(layer, Conv2d | Linear) for layer in layers):
        add(Linear.initial(shape[0], 3, random))
    return Network(input_shape, tuple(layers))


def samples_for(network: Network, n: int) -> Array:
    return np.random.default_rng(1).random((n, int(np.prod(network.input_shape))), np.float32)
