"""The best small network known for a device: a convolutional one, above LeNet-5 with half of its multiplications."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ppbench.data.dataset import TrainingDataset
from ppbench.errors import ConfigError, in_range
from ppbench.models.distortion import distortion_of
from ppbench.models.model import Model
from ppbench.models.network import Conv2d, Flatten, Linear, Network, ReLU
from ppbench.models.training import Recipe, fit
from ppbench.progress import Progress

_LEAST_SIDE = 13
"""In pixels: the last maps are then 2x2 at least, and a batch of one image still has a variance."""


@dataclasses.dataclass(frozen=True)
class LocalCnn(Model):
    """8 maps of 5x5 with stride 2, 16 of 3x3 with stride 2, 29 of 3x3, dense; 207,298 MACs for 28x28 and 10 classes.

    Each convolution is trained with batch normalisation (Ioffe and Szegedy, ICML'15), which is a part of it
    afterwards.
    """

    name: ClassVar[str] = "local_cnn"
    title: ClassVar[str] = "Convolutional network for a device: 207 k MACs for a 28x28 image"
    requires: ClassVar[Mapping[str, str]] = {"torch": "torch>=2.13"}

    epochs: int = 15
    max_lr: float = 1e-2
    batch_size: int = 256
    weight_decay: float = 0.02
    distortion: float = 0.5
    """How far training images are turned, scaled, sheared and moved, as `ppbench.models.distortion` says."""

    def __post_init__(self) -> None:
        in_range("seed", self.seed, 0)
        in_range("distortion", self.distortion, 0, 2)
        self._recipe()

    def check(self, sample_shape: tuple[int, ...]) -> None:
        """Images of one channel, 13x13 pixels at least."""
        if len(sample_shape) != 2 or min(sample_shape) < _LEAST_SIDE:
            raise ConfigError(
                f"model={self.name} takes images of shape (height, width), {_LEAST_SIDE} pixels or more each, "
                f"but the data set's are {sample_shape}; model=mlp takes any shape"
            )

    def train(self, dataset: TrainingDataset, progress: Progress) -> Network:
        """On MNIST, 99.4 % of the test images, after a minute of one core."""
        self.check(dataset.sample_shape)
        random = np.random.default_rng(self.seed)
        return fit(
            architecture(dataset.sample_shape, dataset.n_classes, random),
            dataset,
            self._recipe(),
            random,
            progress,
            what=f"training {self.name}",
            augment=distortion_of(dataset.sample_shape, self.distortion),
        )

    def _recipe(self) -> Recipe:
        return Recipe(self.epochs, self.max_lr, self.batch_size, self.weight_decay, batch_norm=True)


def architecture(sample_shape: tuple[int, ...], n_classes: int, random: np.random.Generator) -> Network:
    """The network before training."""
    image = (1, *sample_shape)
    convolutions = (
        Conv2d.initial(1, 8, 5, random, stride=2, padding=2),
        ReLU(),
        Conv2d.initial(8, 16, 3, random, stride=2, padding=1),
        ReLU(),
        Conv2d.initial(16, 29, 3, random),
        ReLU(),
        Flatten(),
    )
    features = math.prod(Network(image, convolutions).shapes[-1])
    return Network(image, (*convolutions, Linear.initial(features, n_classes, random)))
