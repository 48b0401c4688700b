"""A dense network, by PyTorch: what learns patterns that no distance shows (paper, section 2.1.2, [26])."""

from __future__ import annotations

import importlib

import numpy as np

from ppbench.bundle import Array
from ppbench.data.dataset import Split, TrainingDataset
from ppbench.learners.learner import Classify
from ppbench.models.classifier import Classifier
from ppbench.models.mlp import dense_relu
from ppbench.models.network import Network
from ppbench.models.training import Recipe, fit
from ppbench.progress import silent

HIDDEN = (1024,)
"""On 20,000 samples of 100 participants, 512 neurons are 2 points worse, and 2,048 are 1 better for twice the time."""
RECIPE = Recipe(epochs=12, max_lr=5e-3, weight_decay=0.3, min_steps=500)
_SMALLEST = float(np.finfo(np.float32).tiny)


class Dnn:
    """Dense layers with ReLU between them, on features brought to mean 0 and, all together, to deviation 1."""

    def __init__(self) -> None:
        # What torch's optimizers import with their first step, and torch with it.
        importlib.import_module("torch._dynamo")

    def fit(self, samples: Array, labels: Array, seed: int) -> Classify:
        """See `Learner.fit`; `seed` decides initial weights and the order of samples."""
        random = np.random.default_rng(seed)
        width = samples.shape[1]
        classes, indices = np.unique(labels, return_inverse=True)
        mean = samples.mean(axis=0, dtype=np.float64).astype(np.float32)
        deviation = np.float32(max(float(samples.std(dtype=np.float64)), _SMALLEST))

        def scaled(raw: Array) -> Array:
            ready: Array = (raw.astype(np.float32) - mean) / deviation
            return ready

        layers = dense_relu((width, *HIDDEN, len(classes)), random)
        untrained = Network((width,), layers[:-1])
        dataset = TrainingDataset(
            name="what was sent",
            train=Split(scaled(samples), indices),
            sample_shape=(width,),
            sample_max=1.0,
            n_classes=len(classes),
        )
        classifier = Classifier(fit(untrained, dataset, RECIPE, random, silent, what="training dnn"))
        return lambda raw: classes[classifier(scaled(raw))]
