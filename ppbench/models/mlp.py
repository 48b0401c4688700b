"""A multi-layer perceptron: the model for samples of any shape, and small enough for a device."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ppbench.data.dataset import TrainingDataset
from ppbench.errors import in_range
from ppbench.models.model import Model
from ppbench.models.network import Layer, Linear, Network, ReLU
from ppbench.models.training import Recipe, fit
from ppbench.progress import Progress


@dataclasses.dataclass(frozen=True)
class Mlp(Model):
    """Dense layers with ReLU between them; by default one hidden layer of 256."""

    name: ClassVar[str] = "mlp"
    title: ClassVar[str] = "Multi-layer perceptron for samples of any shape"
    requires: ClassVar[Mapping[str, str]] = {"torch": "torch>=2.13"}

    hidden: tuple[int, ...] = (256,)
    """Widths of the hidden layers, in neurons."""
    epochs: int = 15
    max_lr: float = 1e-2
    batch_size: int = 256
    weight_decay: float = 0.3

    def __post_init__(self) -> None:
        in_range("seed", self.seed, 0)
        for width in self.hidden:
            in_range("hidden", width, 1)
        self._recipe()

    def check(self, sample_shape: tuple[int, ...]) -> None:
        """Any shape fits: the layers see flat samples."""

    def train(self, dataset: TrainingDataset, progress: Progress) -> Network:
        """On MNIST, 98.4 % of the test images."""
        random = np.random.default_rng(self.seed)
        inputs = math.prod(dataset.sample_shape)
        layers = dense_relu((inputs, *self.hidden, dataset.n_classes), random)
        untrained = Network((inputs,), layers[:-1])
        return fit(untrained, dataset, self._recipe(), random, progress, what="training mlp")

    def _recipe(self) -> Recipe:
        return Recipe(self.epochs, self.max_lr, self.batch_size, self.weight_decay)


def dense_relu(widths: tuple[int, ...], random: np.random.Generator) -> tuple[Layer, ...]:
    """Untrained dense layers from each width to the next, a ReLU after each of them, the last included."""
    return tuple(
        layer
        for inputs, outputs in itertools.pairwise(widths)
        for layer in (Linear.initial(inputs, outputs, random), ReLU())
    )
