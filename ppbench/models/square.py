"""Networks with `x * x` for activation, which homomorphic encryption can compute: two that the literature uses.

Their logits have a limit: a ciphertext has room for numbers of a known size only, and beyond it they wrap without a
sign.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ppbench.bundle import Array
from ppbench.data.dataset import TrainingDataset, unit
from ppbench.errors import ConfigError, in_range
from ppbench.models.distortion import distortion_of
from ppbench.models.model import Model
from ppbench.models.network import Conv2d, Flatten, Linear, Network, Square
from ppbench.models.training import Recipe, fit
from ppbench.progress import Progress

_LARGEST_GRADIENT = 1.0
"""Norm: the square's derivative grows with its input, and one bad step would throw the training off."""


@dataclasses.dataclass(frozen=True)
class _SquareModel(Model, abc.ABC):
    """A convolution, a dense layer and another one, with a square after each of the first two."""

    requires: ClassVar[Mapping[str, str]] = {"torch": "torch>=2.13"}

    epochs: int = 30
    max_lr: float = 5e-3
    batch_size: int = 128
    weight_decay: float = 0.1
    distortion: float = 1.0
    """How far training images are turned, scaled, sheared and moved, as `ppbench.models.distortion` says."""
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

    def train(self, dataset: TrainingDataset, progress: Progress) -> Network:
        """Cross-entropy on distorted images."""
        untrained = self.architecture(dataset.sample_shape, dataset.n_classes)
        random = np.random.default_rng(self.seed)
        network = fit(
            untrained,
            dataset,
            self._recipe(),
            random,
            progress,
            what=f"training {self.name}",
            augment=distortion_of(dataset.sample_shape, self.distortion),
        )
        return _limited(network, unit(dataset.train.samples, dataset.sample_max), self.logit_limit)

    def _recipe(self) -> Recipe:
        return Recipe(self.epochs, self.max_lr, self.batch_size, self.weight_decay, largest_gradient=_LARGEST_GRADIENT)


@dataclasses.dataclass(frozen=True)
class SquareTutorial(_SquareModel):
    """4 maps of 7x7 with stride 3, dense 64, dense: the network of TenSEAL's tutorial 4 (MNIST, 28x28)."""

    name: ClassVar[str] = "square_tutorial"
    title: ClassVar[str] = "TenSEAL's tutorial network: conv 4x7x7/3, square, 64, square"

    epochs: int = 50
    max_lr: float = 1e-2
    batch_size: int = 256
    distortion: float = 0.6
    """As above. On MNIST's test images, 98.9 % after 40 epochs and 99.0 to 99.1 % after 50, in 67 s of one core; images
    distorted further need more epochs for as much."""
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
    convolution = Conv2d.initial(1, maps, kernel, random, stride=stride, padding=padding)
    image = (1, *sample_shape)
    features = math.prod(convolution.output_shape(image))
    dense = (Linear.initial(features, hidden, random), Square(), Linear.initial(hidden, n_classes, random))
    return Network(image, (convolution, Square(), Flatten(), *dense))


def _limited(network: Network, samples: Array, limit: float) -> Network:
    """The network with its last layer scaled down, which leaves every label as it is, if a sample's logit is larger."""
    *first, last = network.layers
    assert isinstance(last, Linear)
    largest = float(np.abs(network(samples)).max())
    factor = 1.0 if largest <= limit else limit / largest
    return Network(network.input_shape, (*first, Linear(last.weight * factor, last.bias * factor)))
