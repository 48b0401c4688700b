"""A dense layer or a convolution as a map of public shape, over the integers modulo 2^64."""

from __future__ import annotations

import dataclasses

import torch

from ppbench.models.network import Conv2d, Linear

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class LinearMap:
    """What is public of a layer with weights."""

    weight_shape: Shape
    """(out, in), or (out, in, height, width) of a convolution."""
    stride: int = 1
    padding: int = 0

    @classmethod
    def of(cls, layer: Linear | Conv2d) -> LinearMap:
        """The layer's."""
        if isinstance(layer, Conv2d):
            return cls(layer.weight.shape, layer.stride, layer.padding)
        return cls(layer.weight.shape)

    def __call__(self, weight: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
        """Weights of `weight_shape` on (n, *input shape), both int64 -> (n, *output shape), modulo 2^64."""
        if len(self.weight_shape) == 2:
            return batch @ weight.T
        return torch.conv2d(batch, weight, stride=self.stride, padding=self.padding)

    def output_shape(self, batch_shape: Shape) -> Shape:
        """(n, *input shape) -> (n, *output shape)."""
        n, *sides = batch_shape
        outputs, _, *kernel = self.weight_shape
        if not kernel:
            return n, outputs
        positions = (
            (side + 2 * self.padding - k) // self.stride + 1 for side, k in zip(sides[1:], kernel, strict=True)
        )
        return n, outputs, *positions

    def bias_shape(self) -> Shape:
        """What a bias is reshaped to before it is added to a batch of outputs."""
        return (1, -1, 1, 1) if len(self.weight_shape) == 4 else (1, -1)
