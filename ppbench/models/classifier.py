"""A network that only answers, on PyTorch: what a coordinator runs."""

from __future__ import annotations

import numpy as np

from ppbench.bundle import Array
from ppbench.data.dataset import label_type
from ppbench.errors import ProtocolError
from ppbench.models.network import Network

_CHUNK = 1000
"""Samples classified at a time: LeNet's largest intermediate is then 19 MB."""


def import_library() -> None:
    """Import what a classifier computes with, so that the stage that makes one is not charged for it."""
    import torch  # noqa: F401


class Classifier:
    """(n, d) float32 in [0, 1] -> (n,) of `label_type`: the class with the largest output."""

    def __init__(self, network: Network) -> None:
        self._module = network.to_torch().eval()
        self._n_classes = network.shapes[-1][0]

    def __call__(self, samples: Array) -> Array:
        """Classify, in chunks so that memory stays small. Raises ProtocolError if an output is not finite."""
        import torch

        labels = np.empty(len(samples), label_type(self._n_classes))
        with torch.inference_mode():
            for start in range(0, len(samples), _CHUNK):
                chunk = slice(start, start + _CHUNK)
                outputs = self._module(torch.from_numpy(samples[chunk])).numpy()
                if not np.isfinite(outputs).all():
                    raise ProtocolError("the network's outputs for these samples are not finite")
                labels[chunk] = outputs.argmax(axis=1)
        return labels
