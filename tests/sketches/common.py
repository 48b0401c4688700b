"""What the sketches share: a model without training loop, a card with few words, and integers for the reals."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Array
from ppbench.data.dataset import TrainingDataset, unit
from ppbench.errors import ConfigError
from ppbench.models.model import Model
from ppbench.models.network import Linear, Network
from ppbench.progress import Progress
from ppbench.scheme import SchemeCard, TaskKind

FRACTION_BITS = 12


@dataclasses.dataclass(frozen=True)
class LeastSquares(Model):
    """One linear layer in closed form, so that no sketch waits for training."""

    name: ClassVar[str] = "least_squares"
    title: ClassVar[str] = "ridge regression onto one-hot labels"

    def check(self, sample_shape: tuple[int, ...]) -> None:
        """Any shape fits."""

    def train(self, dataset: TrainingDataset, progress: Progress) -> Network:
        """Solve the normal equations."""
        samples = unit(dataset.train.samples, dataset.sample_max)
        inputs = np.hstack([samples, np.ones((len(samples), 1), np.float32)])
        targets = np.eye(dataset.n_classes)[dataset.train.labels]
        solved = np.linalg.solve(inputs.T @ inputs + np.eye(inputs.shape[1]), inputs.T @ targets)
        return Network((samples.shape[1],), (Linear(solved[:-1].T.astype(np.float32), solved[-1].astype(np.float32)),))


def toy_card(title: str, source: str, task: TaskKind = "inference", **more: Any) -> SchemeCard:
    """A complete card; `more` are the fields that matter to the sketch."""
    fields: dict[str, Any] = {
        "taxonomy": (task, title),
        "protects": "the samples, from the coordinator",
        "guarantee": "none: a toy",
        "computation": None,
        "communication": None,
        "deterministic_bytes": True,
        "seeded_answers": True,
    }
    return SchemeCard(title=title, source=source, task=task, **{**fields, **more})


def fixed(reals: Array) -> Array:
    """Reals as uint64 modulo 2**64, with FRACTION_BITS behind the point."""
    scaled: Array = np.rint(np.asarray(reals, np.float64) * 2**FRACTION_BITS).astype(np.int64)
    return scaled.view(np.uint64)


def single_linear(network: Network) -> Linear:
    """The network's only layer. Raises ConfigError if it has others."""
    if len(network.layers) != 1 or not isinstance(network.layers[0], Linear):
        raise ConfigError("the sketch computes a single linear layer")
    return network.layers[0]


def integers_of(layer: Linear, sample_max: float) -> tuple[Array, Array]:
    """Weight (out, in) and bias (out,) in the ring, such that raw samples @ weight.T + bias are scaled scores."""
    return fixed(layer.weight / sample_max), fixed(layer.bias)
