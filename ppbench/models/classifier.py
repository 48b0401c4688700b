"""A network that only answers, on PyTorch: what a coordinator runs."""

from __future__ import annotations

import numpy as np

from ppbench.bundle import Array
from ppbench.models.network import Network

_CHUNK = 1000
"""Samples classified at a time: LeNet's largest intermediate is then 19 MB."""


class Classifier:
    """(n, d) float32 in [0, 1] -> (n,) uint8: the class with the largest output."""

    def __init__(self, network: Network) -> None:
        self._module = network.to_torch().eval()

    def __call__(self, samples: Array) -> Array:
        """Classify, in chunks so that memory stays small."""
        import torch

        labels = np.empty(len(samples), np.uint8)
        with torch.inference_mode():
            for start in range(0, len(samples), _CHUNK):
                chunk = slice(start, start + _CHUNK)
                labels[chunk] = self._module(torch.from_numpy(samples[chunk])).argmax(dim=1).numpy()
        return labels
