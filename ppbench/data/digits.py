"""The 1,797 small digits that come with scikit-learn: for smoke tests, where nothing can be downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ppbench.bundle import Array
from ppbench.data.dataset import Dataset, DatasetSource, Split, sha256_of
from ppbench.errors import DataError

SHA256 = "d18d416b52a40f5ed92c1d4a8585abd4aae4c41348e433971c5c783275bcb208"
N_TEST = 500


@dataclass(frozen=True)
class Digits(DatasetSource):
    """The test part of UCI's optical digits (Alpaydin, Kaynak, 1998), as scikit-learn carries it."""

    name: ClassVar[str] = "digits"
    title: ClassVar[str] = "scikit-learn's 1,797 digits, 8x8: the zero-download smoke-test set, not MNIST"
    requires: ClassVar[Mapping[str, str]] = {"sklearn": "scikit-learn>=1.4"}

    def load(self) -> Dataset:
        """Train (1297, 64) and test (500, 64) uint8, 0 to 16, stratified by class, always the same split.

        `sha256` is that of train samples, train labels, test samples and test labels, concatenated.

        Raises DataError if the installed scikit-learn brings other digits.
        """
        import sklearn
        from sklearn.datasets import load_digits

        samples, labels = (array.astype(np.uint8) for array in load_digits(return_X_y=True))
        tested = _stratified(labels)
        train = Split(samples[~tested], labels[~tested])
        test = Split(samples[tested], labels[tested])
        sha256 = sha256_of(train.samples, train.labels, test.samples, test.labels)
        route = f"scikit-learn {sklearn.__version__}"
        if sha256 != SHA256:
            raise DataError(f"{route} has other digits than the pinned ones: SHA-256 {sha256}, not {SHA256}")
        return Dataset(
            name=self.name,
            train=train,
            test=test,
            sample_shape=(8, 8),
            sample_max=16,
            n_classes=10,
            sha256=sha256,
            route=route,
        )


def _stratified(labels: Array) -> Array:
    """(n,) bool: N_TEST samples spread evenly over the samples sorted by class, so over each class too."""
    chosen = np.zeros(len(labels), bool)
    # Without a random generator, whose stream may change with numpy's version.
    by_class = np.argsort(labels, kind="stable")
    chosen[by_class] = np.diff(np.arange(len(labels) + 1) * N_TEST // len(labels)) > 0
    return chosen
