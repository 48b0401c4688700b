"""What DP-SGD can train, from both sides: how the curator learns it, and how a device runs what was released."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.errors import ConfigError
from ppbench.scheme import TaskFacts
from schemes.dp_sgd import cnn, linear
from schemes.dp_sgd.cnn import Activation
from schemes.dp_sgd.descent import Recipe, descend
from schemes.dp_sgd.scattering import N_CHANNELS, SMALLEST_SIDE, STRIDE, normalised, scattering

_TRANSFORMED_AT_ONCE = 1000


class Architecture(abc.ABC):
    """A kind of model."""

    @abc.abstractmethod
    def check(self, sample_shape: tuple[int, ...]) -> None:
        """Raise ConfigError if samples of this shape do not fit."""

    @abc.abstractmethod
    def train(
        self,
        facts: TaskFacts,
        samples: Array,
        labels: Array,
        recipe: Recipe,
        random: np.random.Generator,
        step_taken: Callable[[float, float], None],
    ) -> Tree:
        """A model of samples (n, d) float32 in [0, 1] with labels (n,), to be released.

        `random` draws initial weights, which need not be secret; see `descend` for all other chance.
        """

    @abc.abstractmethod
    def classify(self, model: Tree, samples: Array, facts: TaskFacts) -> Array:
        """(n, d) float32 in [0, 1] -> (n,) of the task's label type, in numpy alone."""


@dataclasses.dataclass(frozen=True)
class Linear(Architecture):
    """Multinomial logistic regression on the samples as they are: Song et al., 2013 (the paper's [44])."""

    def check(self, sample_shape: tuple[int, ...]) -> None:
        """Any shape fits."""

    def n_features(self, facts: TaskFacts) -> int:
        """Values of a sample's features."""
        return facts.dimension

    def features(self, samples: Array, facts: TaskFacts) -> Array:
        """(n, d) -> (n, n_features) float32, nothing of it learnt."""
        return samples

    def train(
        self,
        facts: TaskFacts,
        samples: Array,
        labels: Array,
        recipe: Recipe,
        random: np.random.Generator,
        step_taken: Callable[[float, float], None],
    ) -> Tree:
        """Weights (classes, n_features + 1), from 0; the last column is the bias."""
        inputs = self._inputs(samples, facts)
        clipped_sum = linear.clipped_sum(inputs, labels, facts.n_classes, recipe.clip)
        start = np.zeros(facts.n_classes * inputs.shape[1], np.float32)
        weights = descend(start, len(labels), clipped_sum, recipe, step_taken)
        return {"weights": weights.reshape(facts.n_classes, -1)}

    def classify(self, model: Tree, samples: Array, facts: TaskFacts) -> Array:
        """The class with the largest logit."""
        logits = self._inputs(samples, facts) @ model["weights"].T
        labels: Array = logits.argmax(axis=1).astype(facts.label_type)
        return labels

    def _inputs(self, samples: Array, facts: TaskFacts) -> Array:
        """(n, d) -> (n, n_features + 1): the features, and a 1 whose weight is the bias.

        Into one array, because scattering features of MNIST take 952 MB.
        """
        inputs = np.ones((len(samples), self.n_features(facts) + 1), np.float32)
        for start in range(0, len(samples), _TRANSFORMED_AT_ONCE):
            some = slice(start, start + _TRANSFORMED_AT_ONCE)
            inputs[some, :-1] = self.features(samples[some], facts)
        return inputs


@dataclasses.dataclass(frozen=True)
class Scattering(Linear):
    """The same on normalised scattering features: Tramer & Boneh, ICLR'21."""

    def check(self, sample_shape: tuple[int, ...]) -> None:
        """Square images whose side is a multiple of 4."""
        side = sample_shape[0]
        if sample_shape != (side, side) or side % STRIDE or side < SMALLEST_SIDE:
            raise ConfigError(
                f"scheme.architecture=scattering takes square images whose side is a multiple of {STRIDE}, at least "
                f"{SMALLEST_SIDE}, not {sample_shape}; scheme.architecture=linear takes samples of any shape"
            )

    def n_features(self, facts: TaskFacts) -> int:
        """81 channels at a sixteenth of the pixels."""
        return N_CHANNELS * (facts.sample_shape[0] // STRIDE) ** 2

    def features(self, samples: Array, facts: TaskFacts) -> Array:
        """(n, side^2) -> (n, n_features)."""
        return normalised(scattering(samples.reshape(-1, *facts.sample_shape))).reshape(len(samples), -1)


@dataclasses.dataclass(frozen=True)
class Cnn(Architecture):
    """The convolutional network that the literature trains under DP-SGD: Papernot et al., AAAI'21, table 1."""

    activation: Activation

    def check(self, sample_shape: tuple[int, ...]) -> None:
        """28x28 images only."""
        if sample_shape != cnn.SAMPLE_SHAPE:
            raise ConfigError(f"scheme.architecture is a network for {cnn.SAMPLE_SHAPE} images, not {sample_shape}")

    def train(
        self,
        facts: TaskFacts,
        samples: Array,
        labels: Array,
        recipe: Recipe,
        random: np.random.Generator,
        step_taken: Callable[[float, float], None],
    ) -> Tree:
        """Weights and biases of its layers."""
        arrays = cnn.initial(facts.n_classes, random)
        clipped_sum = cnn.clipped_sum(arrays, self.activation, samples, labels, recipe.clip)
        start = np.concatenate([array.ravel() for array in arrays])
        return {"arrays": cnn.split(descend(start, len(labels), clipped_sum, recipe, step_taken), arrays)}

    def classify(self, model: Tree, samples: Array, facts: TaskFacts) -> Array:
        """The class with the largest logit."""
        logits = cnn.logits(model["arrays"], self.activation, samples)
        labels: Array = logits.argmax(axis=1).astype(facts.label_type)
        return labels


ARCHITECTURES: Mapping[str, Architecture] = {
    "scattering": Scattering(),
    "linear": Linear(),
    "tanh_cnn": Cnn(cnn.TANH),
    "tempered_cnn": Cnn(cnn.TEMPERED),
}
