"""Multiply-accumulates by kind of layer: devices are not equally fast at both."""

from __future__ import annotations

import dataclasses

from ppbench.models.network import Conv2d, Network


@dataclasses.dataclass(frozen=True)
class Macs:
    """What one sample takes; no multiply-accumulate at all is a count, too."""

    dense: float = 0
    convolution: float = 0

    @classmethod
    def of(cls, network: Network) -> Macs:
        """Those of one forward pass."""
        counts = [(layer, layer.macs(shape)) for layer, shape in zip(network.layers, network.shapes, strict=False)]
        convolution = sum(count for layer, count in counts if isinstance(layer, Conv2d))
        return cls(network.macs - convolution, convolution)

    def times(self, factor: float) -> Macs:
        """So many times as many."""
        return Macs(factor * self.dense, factor * self.convolution)
