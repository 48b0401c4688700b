"""From a network to the steps that compute it on shares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ppbench.models import network as layers
from ppbench.models.network import Conv2d, Layer, Linear, MaxPool2d, Network, ReLU
from schemes.mpc import stock
from schemes.mpc.selection import MaskedSelection, Selection, StockSelection
from schemes.mpc.session import Session
from schemes.mpc.steps import Argmax, AvgPool, Flatten, MaskedLinear, Relu, Square, Step, Stock, TreeMaxPool

if TYPE_CHECKING:
    from schemes.mpc.scheme import Mpc


def steps(scheme: Mpc, network: Network, session: Session) -> list[Step]:
    """One for each layer, and one for the label if it alone is to be revealed."""
    select: Selection = (MaskedSelection if scheme.comparison == "carry" else StockSelection)(session)
    found = [_step(index, layer, scheme, session, select) for index, layer in enumerate(network.layers)]
    if scheme.reveal == "argmax":
        found.append(Argmax(select, session.rank))
    return found


def ordered(scheme: Mpc, network: Network) -> Network:
    """With tree pooling, ReLU behind the max-pooling that follows it: the same result, and a ReLU a square."""
    moved = list(network.layers)
    if scheme.pooling != "tree":
        return network
    for index in range(len(moved) - 1):
        if isinstance(moved[index], ReLU) and isinstance(moved[index + 1], MaxPool2d):
            moved[index], moved[index + 1] = moved[index + 1], moved[index]
    return Network(network.input_shape, tuple(moved))


def masked_layers(planned: list[Step]) -> Iterator[MaskedLinear]:
    """The steps whose weights are opened, masked, once."""
    return (step for step in planned if isinstance(step, MaskedLinear))


def _step(index: int, layer: Layer, scheme: Mpc, session: Session, select: Selection) -> Step:
    scale = 2**scheme.precision
    match layer:
        case Linear() | Conv2d() if scheme.weights == "open_once":
            return MaskedLinear(index, layer, session, scale)
        case MaxPool2d(size=size) if scheme.pooling == "tree":
            return TreeMaxPool(size, select)
        case ReLU() if scheme.comparison == "carry":
            return Relu(select)
        case layers.Square():
            return Square(session, scale)
        case layers.AvgPool2d():
            return AvgPool(layer, session)
        case layers.Flatten():
            return Flatten()
    return Stock(session, stock.module(layer, session))
