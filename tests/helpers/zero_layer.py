"""A network of squares with a layer of zeros, in a module that the worker that trains can import."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np

from ppbench.data.dataset import TrainingDataset
from ppbench.models.model import Model
from ppbench.models.network import Conv2d, Linear, Network
from ppbench.models.square import SquareTutorial
from ppbench.progress import Progress


@dataclasses.dataclass(frozen=True)
class ZeroLayer(Model):
    """TenSEAL's tutorial network as it is drawn, but for one layer."""

    name: ClassVar[str] = "zero_layer"
    title: ClassVar[str] = "a layer of zeros"

    where: int = 0

    def check(self, sample_shape: tuple[int, ...]) -> None:
        """As the network does."""
        SquareTutorial().check(sample_shape)

    def train(self, dataset: TrainingDataset, progress: Progress) -> Network:
        network = SquareTutorial().architecture(dataset.sample_shape, dataset.n_classes)
        layers = list(network.layers)
        layer = layers[self.where]
        assert isinstance(layer, Conv2d | Linear)
        layers[self.where] = dataclasses.replace(layer, weight=np.zeros_like(layer.weight))
        return Network(network.input_shape, tuple(layers))
