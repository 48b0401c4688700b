"""A small convolutional network with bounded activations: in numpy to run it, in PyTorch to train it under DP-SGD."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ppbench.bundle import Array
from ppbench.models.network import Conv2d, Linear
from schemes.dp_sgd.descent import ClippedSum, clipping_factors

if TYPE_CHECKING:
    import torch

SAMPLE_SHAPE = (28, 28)

_AT_ONCE = 256
"""Records whose gradients are in memory at once: 54 MB of them."""
_CLASSIFIED_AT_ONCE = 64


@dataclasses.dataclass(frozen=True)
class Activation:
    """scale / (1 + exp(-temperature x)) - offset: a tempered sigmoid (Papernot et al., AAAI'21, equation 2)."""

    scale: float
    temperature: float
    offset: float


TANH = Activation(2.0, 2.0, 1.0)
TEMPERED = Activation(1.58, 3.0, 0.71)
"""What Papernot et al. found best on MNIST; that cost privacy they do not count either."""


def initial(n_classes: int, random: np.random.Generator) -> list[Array]:
    """Weight and bias of each of the four layers: 26,010 values for 10 classes."""
    layers = (
        Conv2d.initial(1, 16, 8, random),
        Conv2d.initial(16, 32, 4, random),
        Linear.initial(512, 32, random),
        Linear.initial(32, n_classes, random),
    )
    return [array for layer in layers for array in (layer.weight, layer.bias)]


def split(parameters: Array, like: Sequence[Array]) -> list[Array]:
    """(p,) -> arrays of the shapes of `like`."""
    ends = np.cumsum([array.size for array in like])[:-1]
    return [part.reshape(array.shape) for part, array in zip(np.split(parameters, ends), like, strict=True)]


def logits(arrays: Sequence[Array], activation: Activation, samples: Array) -> Array:
    """(n, 784) float32 in [0, 1] -> (n, classes)."""
    conv_1 = Conv2d(arrays[0], arrays[1], stride=2, padding=3)
    conv_2 = Conv2d(arrays[2], arrays[3], stride=2)
    dense_1, dense_2 = Linear(arrays[4], arrays[5]), Linear(arrays[6], arrays[7])

    def bounded(values: Array) -> Array:
        """In the form that cannot overflow: a sigmoid is half a tanh of half its argument, and a half."""
        half = np.float32(activation.temperature / 2)
        scaled: Array = np.float32(activation.scale / 2) * (1 + np.tanh(half * values)) - np.float32(activation.offset)
        return scaled

    parts = []
    for start in range(0, max(1, len(samples)), _CLASSIFIED_AT_ONCE):
        images = samples[start : start + _CLASSIFIED_AT_ONCE].reshape(-1, 1, *SAMPLE_SHAPE)
        maps = _pooled(bounded(conv_2(_pooled(bounded(conv_1(images))))))
        parts.append(dense_2(bounded(dense_1(maps.reshape(len(maps), -1)))))
    return np.concatenate(parts)


def _pooled(maps: Array) -> Array:
    """The largest of each 2x2 square, one pixel from square to square."""
    rows = np.maximum(maps[:, :, :-1], maps[:, :, 1:])
    return np.maximum(rows[..., :-1], rows[..., 1:])


def clipped_sum(
    like: Sequence[Array], activation: Activation, samples: Array, labels: Array, clip: float
) -> ClippedSum:
    """For `descend`: samples (n, 784) float32 in [0, 1], labels (n,), and parameters as `initial` lists them, flat.

    Per-record gradients by `torch.func.vmap`: in single precision as fast as opacus's ghost clipping, which goes
    backwards twice, and faster than its hooks (benchmarks/dp_sgd.py); in double it takes half as long again.
    """
    import torch

    images = torch.from_numpy(samples).reshape(-1, 1, *SAMPLE_SHAPE)
    targets = torch.from_numpy(labels.astype(np.int64))
    sizes, shapes = [array.size for array in like], [array.shape for array in like]

    def loss(parameters: torch.Tensor, image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        parts = torch.split(parameters, sizes)
        weights = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
        outputs = torch_logits(weights, activation, image[None])
        return torch.nn.functional.cross_entropy(outputs, target[None])

    gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))

    def compute(parameters: Array, chosen: Array) -> Array:
        # All in double precision: in single, a record's gradient comes out differently beside other records, too.
        flat, indices = torch.from_numpy(parameters).double(), torch.from_numpy(chosen)
        total = torch.zeros_like(flat)
        for some in torch.split(indices, _AT_ONCE) if len(chosen) else ():
            each = gradients(flat, images[some].double(), targets[some])
            total += torch.from_numpy(clipping_factors(each.norm(dim=1).numpy(), clip)) @ each
        summed: Array = total.numpy()
        return summed

    return compute


def torch_logits(weights: Sequence[torch.Tensor], activation: Activation, images: torch.Tensor) -> torch.Tensor:
    """(n, 1, 28, 28) -> (n, classes): the same network as `logits`, differentiable."""
    from torch.nn import functional

    def bounded(values: torch.Tensor) -> torch.Tensor:
        return activation.scale * (activation.temperature * values).sigmoid() - activation.offset

    maps = functional.conv2d(images, weights[0], weights[1], stride=2, padding=3)
    maps = functional.max_pool2d(bounded(maps), 2, 1)
    maps = functional.max_pool2d(bounded(functional.conv2d(maps, weights[2], weights[3], stride=2)), 2, 1)
    hidden = bounded(functional.linear(maps.flatten(1), weights[4], weights[5]))
    return functional.linear(hidden, weights[6], weights[7])
