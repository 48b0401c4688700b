"""What the coordinator can win back: networks trained on clear data with noise like the participants' added to it."""

from __future__ import annotations

import dataclasses

import numpy as np

from ppbench.bundle import Array
from ppbench.data.dataset import Split, TrainingDataset, unit
from ppbench.models.network import Conv2d, Flatten, Linear, Network, ReLU
from ppbench.models.training import Recipe, fit
from ppbench.privacy.chance import seeded_words
from ppbench.progress import Progress
from schemes.additive_noise.perturbation import Perturbation

_MAX_LR = 1e-2
_MAPS = 8
_KERNEL = 5
_AT_ONCE = 5000
"""Samples made noisy at a time: 31 MB in float64 for MNIST."""


def fine_tuned(
    network: Network, dataset: TrainingDataset, perturbation: Perturbation, epochs: int, seed: int, progress: Progress
) -> Network:
    """The coordinator's model, which begins with a layer of weights, trained further on noisy samples."""
    random = np.random.default_rng(seed)
    recipe = Recipe(epochs, _MAX_LR)
    noisy = _noisy(dataset, perturbation, recipe, random)
    trained = fit(network, noisy.dataset, noisy.recipe, random, progress, what=f"fine-tuning {noisy.title}")
    return _dividing_input(trained, noisy.divisor)


def denoiser(
    network: Network, dataset: TrainingDataset, perturbation: Perturbation, epochs: int, seed: int, progress: Progress
) -> Network:
    """Two convolutions whose output, an image like the input, `network` classifies; `network` stays as it is."""
    random = np.random.default_rng(seed)
    recipe = Recipe(epochs, _MAX_LR)
    noisy = _noisy(dataset, perturbation, recipe, random)
    layers = (_passing(1, _MAPS, random), ReLU(), _passing(_MAPS, 1, random), ReLU(), Flatten())
    untrained = Network((1, *dataset.sample_shape), layers)
    what = f"training denoiser {noisy.title}"
    trained = fit(untrained, noisy.dataset, noisy.recipe, random, progress, what=what, frozen=network)
    return _dividing_input(trained, noisy.divisor)


@dataclasses.dataclass(frozen=True)
class _Noisy:
    dataset: TrainingDataset
    """Its training samples, noisy and divided: every pass over the clear ones with noise of its own."""
    recipe: Recipe
    """One pass over these."""
    divisor: float
    """Brings values to the size that a model's initial weights expect, however much noise there is."""
    title: str


def _noisy(dataset: TrainingDataset, perturbation: Perturbation, recipe: Recipe, random: np.random.Generator) -> _Noisy:
    clear = dataset.train
    n, passes = len(clear), recipe.epochs_on(len(clear))
    mechanism = perturbation.mechanism
    divisor = float(np.hypot(1, mechanism.scale * mechanism.deviation))
    words = seeded_words(random)
    # Half precision halves 560 MB for MNIST, and its error is far below the noise.
    samples: Array = np.empty((passes * n, clear.samples.shape[1]), np.float16)
    for repeat in range(passes):
        for start in range(0, n, _AT_ONCE):
            some = unit(clear.samples[start : start + _AT_ONCE], dataset.sample_max)
            place = repeat * n + start
            samples[place : place + len(some)] = perturbation.unpacked(perturbation.packed(some, words)) / divisor
    noisy = dataclasses.replace(dataset, train=Split(samples, np.tile(clear.labels, passes)), sample_max=1.0)
    title = f"for {type(mechanism).__name__} {mechanism.scale:.3g}"
    return _Noisy(noisy, dataclasses.replace(recipe, epochs=1, min_steps=0), divisor, title)


def _passing(inputs: int, outputs: int, random: np.random.Generator) -> Conv2d:
    """A convolution to be trained whose first map starts as a copy of the first input map."""
    layer = Conv2d.initial(inputs, outputs, _KERNEL, random, padding=_KERNEL // 2)
    layer.weight[0] = 0
    layer.weight[0, 0, _KERNEL // 2, _KERNEL // 2] = 1
    layer.bias[0] = 0
    return layer


def _dividing_input(network: Network, divisor: float) -> Network:
    """The network that does to x what `network` does to x / divisor."""
    first, *others = network.layers
    assert isinstance(first, Linear | Conv2d)
    divided = dataclasses.replace(first, weight=first.weight / np.float32(divisor))
    return dataclasses.replace(network, layers=(divided, *others))
