"""Small models for the tests of multi-party computation, in a module that the worker that trains can import."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ppbench.data.dataset import TrainingDataset
from ppbench.models.model import Model
from ppbench.models.network import AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, Network, ReLU, Square
from ppbench.models.training import Recipe, fit
from ppbench.progress import Progress


def every_layer(random: np.random.Generator) -> Network:
    """For images of 8x8: each kind of layer that there is, untrained; ReLU stands in front of the pooling."""
    layers = (
        Conv2d.initial(1, 4, 3, random, padding=1),
        ReLU(),
        MaxPool2d(2),
        dataclasses.replace(Conv2d.initial(4, 8, 3, random, padding=2), stride=2),
        Square(),
        AvgPool2d(2),
        Flatten(),
        Linear.initial(8, 16, random),
        ReLU(),
        Linear.initial(16, 10, random),
    )
    return Network((1, 8, 8), layers)


@dataclasses.dataclass(frozen=True)
class EveryLayer(Model):
    """Learns the digits well enough to be sure of most of them."""

    name: ClassVar[str] = "every_layer"
    title: ClassVar[str] = "one layer of each kind"
    requires: ClassVar[Mapping[str, str]] = {"torch": "torch>=2.13"}

    def check(self, sample_shape: tuple[int, ...]) -> None:
        assert sample_shape == (8, 8)

    def train(self, dataset: TrainingDataset, progress: Progress) -> Network:
        random = np.random.default_rng(self.seed)
        return fit(every_layer(random), dataset, Recipe(15, 1e-2), random, progress, what="training every_layer")


@dataclasses.dataclass(frozen=True)
class Heavy(Model):
    """Its activations are far beyond what fixed point in the ring can hold."""

    name: ClassVar[str] = "heavy"
    title: ClassVar[str] = "huge weights"

    weight: float = 1e4

    def check(self, sample_shape: tuple[int, ...]) -> None:
        """Any shape fits."""

    def train(self, dataset: TrainingDataset, progress: Progress) -> Network:
        inputs = dataset.train.samples.shape[1]
        weight, bias = np.full((10, inputs), self.weight, np.float32), np.zeros(10, np.float32)
        return Network((inputs,), (Linear(weight, bias), ReLU(), Linear(np.eye(10, dtype=np.float32), bias)))
