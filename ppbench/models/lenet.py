"""LeNet-5, the deep model of the paper's evaluation (section 3.3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ppbench.data.dataset import TrainingDataset
from ppbench.errors import ConfigError, in_range
from ppbench.models.model import Model
from ppbench.models.network import Conv2d, Flatten, Linear, MaxPool2d, Network, ReLU
from ppbench.models.training import Recipe, fit
from ppbench.progress import Progress


@dataclasses.dataclass(frozen=True)
class LeNet(Model):
    """LeNet-5 with today's ReLU and max-pooling: 6 and 16 maps, 120-84-10; 416,520 MACs."""

    name: ClassVar[str] = "lenet"
    title: ClassVar[str] = "LeNet-5 (ReLU, max-pooling) for 28x28 images"
    requires: ClassVar[Mapping[str, str]] = {"torch": "torch>=2.13"}

    epochs: int = 6
    max_lr: float = 1e-2
    batch_size: int = 256
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        in_range("seed", self.seed, 0)
        self._recipe()

    def check(self, sample_shape: tuple[int, ...]) -> None:
        """LeNet-5 takes 28x28 images only."""
        if sample_shape != (28, 28):
            raise ConfigError(
                f"model=lenet takes samples of shape (28, 28), but the data set's are {sample_shape}; "
                "model=mlp takes any shape"
            )

    def train(self, dataset: TrainingDataset, progress: Progress) -> Network:
        """On MNIST, 99 % of the test images."""
        self.check(dataset.sample_shape)
        random = np.random.default_rng(self.seed)
        untrained = architecture(dataset.n_classes, random)
        return fit(untrained, dataset, self._recipe(), random, progress, what="training lenet")

    def _recipe(self) -> Recipe:
        return Recipe(self.epochs, self.max_lr, self.batch_size, self.weight_decay)


def architecture(n_classes: int, random: np.random.Generator) -> Network:
    """LeNet-5 before training."""
    return Network(
        (1, 28, 28),
        (
            Conv2d.initial(1, 6, 5, random, padding=2),
            ReLU(),
            MaxPool2d(2),
            Conv2d.initial(6, 16, 5, random),
            ReLU(),
            MaxPool2d(2),
            Flatten(),
            Linear.initial(400, 120, random),
            ReLU(),
            Linear.initial(120, 84, random),
            ReLU(),
            Linear.initial(84, n_classes, random),
        ),
    )
