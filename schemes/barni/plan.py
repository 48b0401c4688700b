"""What the participant has to know of the network: which values go back and forth, and what it does in between."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.errors import ConfigError, ProtocolError
from ppbench.models.network import AvgPool2d, Conv2d, Flatten, Layer, Linear, MaxPool2d, Network, ReLU, Square
from schemes.barni.linear import Geometry, LinearLayer, with_pooling

_CHUNK = 500
"""Samples at a time, where their activations have to fit in memory."""


@dataclasses.dataclass(frozen=True, eq=False)
class Exchange:
    """One linear layer, computed by the coordinator on ciphertexts."""

    linear: Geometry
    then: Network
    """What the participant applies to the outputs, flat in and flat out: layers without weights."""


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """The architecture without its weights."""

    first: Network
    """What the participant applies to a sample: layers without weights, often none."""
    exchanges: tuple[Exchange, ...]

    def to_tree(self) -> Tree:
        """The plan as plain values."""
        return {
            "first": self.first.to_tree(),
            "exchanges": [
                {"linear": dataclasses.asdict(exchange.linear), "then": exchange.then.to_tree()}
                for exchange in self.exchanges
            ],
        }

    @classmethod
    def from_tree(cls, tree: Tree) -> Plan:
        """The plan that `to_tree` took apart. Raises ProtocolError if it is none."""
        try:
            exchanges = tuple(
                Exchange(_geometry(**step["linear"]), Network.from_tree(step["then"])) for step in tree["exchanges"]
            )
            return cls(Network.from_tree(tree["first"]), exchanges)
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            raise ProtocolError(f"the plan cannot be read: {type(error).__name__}: {error}") from None


def split(network: Network) -> tuple[Plan, tuple[LinearLayer, ...]]:
    """The plan of a network, and the linear layers in its order.

    Average pooling right behind a convolution becomes a part of it. Raises ConfigError, naming the layer, for kinds
    that neither party can compute, and if there is no linear layer.
    """
    network = _with_less_pooling(network)
    linear: list[LinearLayer] = []
    clear: list[tuple[tuple[int, ...], list[Layer]]] = [(network.input_shape, [])]
    for layer, shape, output_shape in zip(network.layers, network.shapes, network.shapes[1:], strict=False):
        if isinstance(layer, Conv2d | Linear):
            linear.append(LinearLayer.of(layer, shape))
            clear.append((output_shape, []))
        else:
            clear[-1][1].append(layer)
    if not linear:
        raise ConfigError("model: the network has no linear layer, so scheme=barni leaves nothing to the coordinator")
    first, *then = [Network(shape, (*layers, Flatten())) for shape, layers in clear]
    exchanges = (Exchange(layer.geometry, network) for layer, network in zip(linear, then, strict=True))
    return Plan(first, tuple(exchanges)), tuple(linear)


def join(plan: Plan, layers: Sequence[LinearLayer]) -> Network:
    """The network that `split` took apart."""
    joined: list[Layer] = list(plan.first.layers)
    for exchange, layer in zip(plan.exchanges, layers, strict=True):
        if layer.is_dense:
            joined.append(Linear(layer.weight[:, :, 0, 0], layer.bias))
        else:
            # What `split` flattened for the journey is a stack of maps again.
            joined[-1:] = [layer.convolution]
        joined += exchange.then.layers
    return Network(plan.first.input_shape, tuple(joined))


def largest_outputs(plan: Plan, layers: Sequence[LinearLayer], samples: Array) -> list[float]:
    """The largest absolute value that each linear layer puts out for samples (n, d) in [0, 1]."""
    largest = np.zeros(len(layers))
    for start in range(0, len(samples), _CHUNK):
        values = plan.first(samples[start : start + _CHUNK])
        for index, (exchange, layer) in enumerate(zip(plan.exchanges, layers, strict=True)):
            outputs = layer(values)
            largest[index] = np.maximum(largest[index], np.abs(outputs).max())
            values = exchange.then(outputs)
    return largest.tolist()


def _with_less_pooling(network: Network) -> Network:
    layers: list[Layer] = []
    for index, layer in enumerate(network.layers):
        match layer:
            case AvgPool2d() if layers and isinstance(layers[-1], Conv2d):
                layers[-1] = with_pooling(layers[-1], layer)
            case Conv2d() | Linear() | ReLU() | Square() | MaxPool2d() | AvgPool2d() | Flatten():
                layers.append(layer)
            case _:
                raise ConfigError(
                    f"model: layer {index} is {type(layer).__name__}, which scheme=barni cannot compute; dense layers, "
                    "convolutions, ReLU, squares, average and maximum pooling it can"
                )
    return Network(network.input_shape, tuple(layers))


def _geometry(inputs: Sequence[int], kernel: Sequence[int], **numbers: int) -> Geometry:
    channels, height, width = inputs
    rows, columns = kernel
    return Geometry((channels, height, width), kernel=(rows, columns), **numbers)
