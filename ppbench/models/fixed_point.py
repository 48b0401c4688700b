"""Whether a network's labels survive fixed point, computed in clear before any party starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from ppbench.bundle import Array
from ppbench.errors import ConfigError
from ppbench.models.network import Conv2d, Layer, Linear, Network

_MOST_OTHER_LABELS = 0.05
"""Of all; a few have logits that are nearly equal."""
_CHUNK = 500
"""Samples at a time, where their activations have to fit in memory."""


@dataclasses.dataclass(frozen=True)
class FixedPoint:
    """Values and weights as multiples of a smallest step."""

    value_bits: int
    """Behind the point, of what goes into a layer with weights."""
    weight_bits: int

    def passes(self, network: Network, samples: Array) -> Iterator[list[Array]]:
        """What goes into each layer, and comes out of the last, for some of the samples (n, d) in [0, 1] at a time."""
        layers = [_rounded_weights(layer, self.weight_bits) for layer in network.layers]
        for start in range(0, len(samples), _CHUNK):
            values = [samples[start : start + _CHUNK].reshape(-1, *network.input_shape)]
            for layer in layers:
                if isinstance(layer, Linear | Conv2d):
                    values[-1] = _rounded(values[-1], self.value_bits)
                values.append(layer(values[-1]))
            yield values

    def other_labels(self, network: Network, samples: Array, answers: Array) -> float:
        """The share of the samples whose label is not the model's answer, of (n,) answers."""
        labels = [values[-1].argmax(axis=1) for values in self.passes(network, samples)]
        return float((np.concatenate(labels) != answers).mean())


def check(network: Network, samples: Array, chosen: FixedPoint, option: str, others: Iterable[FixedPoint]) -> None:
    """Raise ConfigError if in fixed point too many samples (n, d) in [0, 1] have another label than the model's answer.

    `option` is what was chosen, as a user writes it; `others` are what could be chosen in its place, the least first.
    """
    answers = network(samples).argmax(axis=1)
    share = chosen.other_labels(network, samples, answers)
    if share <= _MOST_OTHER_LABELS:
        return
    index, inputs, weights = _least_exact(network, samples, chosen)
    enough = (one for one in others if one.other_labels(network, samples, answers) <= _MOST_OTHER_LABELS)
    better = next(enough, None)
    advice = (
        "no precision that is allowed is enough: scale the features or the weights"
        if better is None
        else f"{better.value_bits} bits for values and {better.weight_bits} for weights are enough"
    )
    raise ConfigError(
        f"{option}: {share:.0%} of the labels would not be the model's, because layer {index} of the model multiplies "
        f"inputs of about {inputs:.2g} by weights of about {weights:.2g} in steps of {2.0**-chosen.value_bits:.2g} and "
        f"{2.0**-chosen.weight_bits:.2g}; {advice}"
    )


def _least_exact(network: Network, samples: Array, chosen: FixedPoint) -> tuple[int, float, float]:
    """The layer that rounding hurts most: its index and the typical size of its inputs and weights that are not 0."""
    found = []
    values = samples[:_CHUNK].reshape(-1, *network.input_shape)
    for index, layer in enumerate(network.layers):
        if isinstance(layer, Linear | Conv2d):
            inputs, weights = _typical(values), _typical(layer.weight)
            steps = 2.0**-chosen.value_bits / inputs, 2.0**-chosen.weight_bits / weights
            found.append((max(steps), index, inputs, weights))
        values = layer(values)
    return max(found)[1:]


def _typical(values: Array) -> float:
    nonzero = np.abs(values[values != 0])
    return float(np.median(nonzero)) if nonzero.size else 1.0


def _rounded(values: Array, bits: int) -> Array:
    found: Array = np.rint(values * np.float32(2.0**bits)) / np.float32(2.0**bits)
    return found


def _rounded_weights(layer: Layer, bits: int) -> Layer:
    if isinstance(layer, Linear | Conv2d):
        return dataclasses.replace(layer, weight=_rounded(layer.weight, bits))
    return layer
