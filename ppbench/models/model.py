"""A model plugin: an architecture and the recipe that trains it."""

from __future__ import annotations

import abc
import dataclasses

from ppbench.data.dataset import TrainingDataset
from ppbench.models.network import Network
from ppbench.plugin import Plugin
from ppbench.progress import Progress


@dataclasses.dataclass(frozen=True)
class Model(Plugin, abc.ABC):
    """What can be trained on a data set; its options are the recipe and the seed."""

    seed: int = 0
    """Decides initial weights and order of samples; the job's own seed leaves the model as it is."""

    @abc.abstractmethod
    def check(self, sample_shape: tuple[int, ...]) -> None:
        """Raise ConfigError if samples of this shape do not fit the architecture."""

    @abc.abstractmethod
    def train(self, dataset: TrainingDataset, progress: Progress) -> Network:
        """Train on `dataset.train`; the same options, seed, versions and thread count give the same weights."""
