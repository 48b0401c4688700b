"""Networks with `x * x` for activation, which homomorphic encryption can compute: two that the literature uses.

Their logits have a limit: a ciphertext has room for numbers of a known size only, and beyond it they wrap without a
sign.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ppbench.bundle import Array
from ppbench.data.dataset import Dataset, unit
from ppbench.errors import ConfigError, in_range
from ppbench.models.model import Model
from ppbench.models.network import Conv2d, Flatten, Linear, Network, Square
from ppbench.models.training import Recipe
from ppbench.progress import Progress

if TYPE_CHECKING:
    import torch

_LARGEST_GRADIENT = 1.0
"""Norm: the square's derivative grows with its input, and one bad step would throw the training off."""


@dataclasses.dataclass(frozen=True)
class _SquareModel(Model, abc.ABC):
    """A convolution, a dense layer and another one, with a square after each of the first two."""

    requires: ClassVar[Mapping[str, str]] = {"torch": "torch>=2.4"}

    epochs: int = 30
    max_lr: float = 5e-3
    batch_size: int = 128
    weight_decay: float = 0.1
    distortion: float = 1.0
    """How far training images are turned, scaled, sheared and moved: 0 not at all; 1 up to 10 degrees, 10 %,
    0.15 and 2 pixels of 28."""
    logit_limit: float = 48.0
    """The largest |logit| on the training images; the last layer is scaled down to it."""

    def __post_init__(self) -> None:
        in_range("seed", self.seed, 0)
        in_range("distortion", self.distortion, 0, 2)
        in_range("logit_limit", self.logit_limit, 1)
        self._recipe()

    @abc.abstractmethod
    def architecture(self, sample_shape: tuple[int, ...], n_classes: int) -> Network:
        """The network before training. Raises ConfigError if samples of this shape do not fit."""

    def check(self, sample_shape: tuple[int, ...]) -> None:
        """Images of one channel that are no smaller than the kernel."""
        if len(sample_shape) != 2:
            raise ConfigError(f"model={self.name} takes images of shape (height, width), not {sample_shape}")
        self.architecture(sample_shape, 1)

    def train(self, dataset: Dataset, progress: Progress) -> Network:
        """Cross-entropy on distorted images."""
        untrained = self.architecture(dataset.sample_shape, dataset.n_classes)
        random = np.random.default_rng(self.seed)
        network = _fit(self, untrained, dataset, self._recipe(), random, progress)
        return _limited(network, unit(dataset.train.samples, dataset.sample_max), self.logit_limit)

    def _recipe(self) -> Recipe:
        return Recipe(self.epochs, self.max_lr, self.batch_size, self.weight_decay)


@dataclasses.dataclass(frozen=True)
class SquareTutorial(_SquareModel):
    """4 maps of 7x7 with stride 3, dense 64, dense: the network of TenSEAL's tutorial 4 (MNIST, 28x28)."""

    name: ClassVar[str] = "square_tutorial"
    title: ClassVar[str] = "TenSEAL's tutorial network: conv 4x7x7/3, square, 64, square"

    epochs: int = 100
    """Few weights take long: after 40 epochs, 98.9 % of MNIST's test images; after 100, 99.0 %."""
    logit_limit: float = 12.0
    """As above; with the tutorial's own parameters, logits beyond 16 wrap."""

    def architecture(self, sample_shape: tuple[int, ...], n_classes: int) -> Network:
        """On 28x28 pixels: 8x8 positions, 256 values."""
        return _square_network(sample_shape, 4, 7, 3, 0, 64, n_classes, np.random.default_rng(self.seed))


@dataclasses.dataclass(frozen=True)
class CryptoNetsModel(_SquareModel):
    """5 maps of 5x5 with stride 2, dense 100, dense: the network of CryptoNets.

    Gilad-Bachrach et al., ICML'16, section 4, as collapsed for inference: its mean pooling is a part of the dense
    layer that follows.
    """

    name: ClassVar[str] = "cryptonets"
    title: ClassVar[str] = "CryptoNets' network: conv 5x5x5/2, square, 100, square"

    def architecture(self, sample_shape: tuple[int, ...], n_classes: int) -> Network:
        """On 28x28 pixels: 13x13 positions, 845 values."""
        return _square_network(sample_shape, 5, 5, 2, 1, 100, n_classes, np.random.default_rng(self.seed))


def _square_network(
    sample_shape: tuple[int, ...],
    maps: int,
    kernel: int,
    stride: int,
    padding: int,
    hidden: int,
    n_classes: int,
    random: np.random.Generator,
) -> Network:
    initial = Conv2d.initial(1, maps, kernel, random, padding=padding)
    convolution = dataclasses.replace(initial, stride=stride)
    image = (1, *sample_shape)
    features = math.prod(convolution.output_shape(image))
    dense = (Linear.initial(features, hidden, random), Square(), Linear.initial(hidden, n_classes, random))
    return Network(image, (convolution, Square(), Flatten(), *dense))


def _fit(
    model: _SquareModel,
    untrained: Network,
    dataset: Dataset,
    recipe: Recipe,
    random: np.random.Generator,
    progress: Progress,
) -> Network:
    """As `ppbench.models.training.fit`, with distorted images and small steps where the gradient is large."""
    import torch
    from torch import nn

    module = untrained.to_torch()
    images = torch.tensor(dataset.train.samples).reshape(-1, *untrained.input_shape)
    labels = torch.tensor(dataset.train.labels, dtype=torch.long)
    epochs = recipe.epochs_on(len(labels))
    optimizer = torch.optim.AdamW(module.parameters(), weight_decay=recipe.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.max_lr, epochs=epochs, steps_per_epoch=recipe.steps_per_epoch(len(labels))
    )
    for epoch in range(epochs):
        order = torch.from_numpy(random.permutation(len(labels)))
        for indices in torch.split(order, recipe.batch_size):
            batch = distorted(images[indices].float().div_(dataset.sample_max), model.distortion, random)
            loss = nn.functional.cross_entropy(module(batch.flatten(1)), labels[indices])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(module.parameters(), _LARGEST_GRADIENT)
            optimizer.step()
            schedule.step()
        progress(f"training {model.name}", epoch + 1, epochs)
    return Network.from_torch(module, untrained.input_shape)


def _limited(network: Network, samples: Array, limit: float) -> Network:
    """The network with its last layer scaled down, which leaves every label as it is, if a sample's logit is larger."""
    *first, last = network.layers
    assert isinstance(last, Linear)
    factor = min(1.0, limit / float(np.abs(network(samples)).max()))
    return Network(network.input_shape, (*first, Linear(last.weight * factor, last.bias * factor)))


def distorted(images: torch.Tensor, distortion: float, random: np.random.Generator) -> torch.Tensor:
    """(n, 1, height, width) -> the same, each image turned, scaled, sheared and moved by amounts of its own."""
    import torch

    if not distortion:
        return images
    maps = torch.from_numpy(_affine_maps(len(images), distortion, random))
    grid = torch.nn.functional.affine_grid(maps, list(images.shape), align_corners=False)
    return torch.nn.functional.grid_sample(images, grid, align_corners=False)


def _affine_maps(n: int, distortion: float, random: np.random.Generator) -> Array:
    """(n, 2, 3) float32, in coordinates where an image reaches from -1 to 1."""

    def up_to(bound: float, *shape: int) -> Array:
        return random.uniform(-bound * distortion, bound * distortion, (n, *shape))

    angle, scale, shear = up_to(0.175), 1 + up_to(0.1), up_to(0.15)
    maps = np.empty((n, 2, 3), np.float32)
    maps[:, 0, 0] = maps[:, 1, 1] = scale * np.cos(angle)
    maps[:, 0, 1] = shear - np.sin(angle)
    maps[:, 1, 0] = np.sin(angle)
    maps[:, :, 2] = up_to(0.14, 2)
    return maps
