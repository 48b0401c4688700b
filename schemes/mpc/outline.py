"""What the participant may know of the network: its layers and their shapes, without a weight."""

from __future__ import annotations

import numpy as np

from ppbench.bundle import Tree
from ppbench.models.network import Network


def outline(network: Network) -> Tree:
    """The network with the shapes of its weights in their place."""
    tree = network.to_tree()
    for layer in tree["layers"]:
        layer.update({name: list(layer[name].shape) for name in ("weight", "bias") if name in layer})
    return tree


def weightless(outlined: Tree) -> Network:
    """The network that `outline` outlined, with zeros for weights."""
    layers = [
        {**layer, **{name: np.zeros(layer[name], np.float32) for name in ("weight", "bias") if name in layer}}
        for layer in outlined["layers"]
    ]
    return Network.from_tree({**outlined, "layers": layers})
