"""The 1,797 small digits that come with scikit-learn: for smoke tests, where nothing can be downloaded."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
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
        route = f"scikit-learn {version('scikit-learn')}"
        samples, labels = _read(route)
        tested = _stratified(labels)
        train = Split(samples[~tested], labels[~tested])
        test = Split(samples[tested], labels[tested])
        sha256 = sha256_of(train.samples, train.labels, test.samples, test.labels)
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


@dataclass(frozen=True)
class Digits28(Digits):
    """The same in the size of MNIST's images, for networks and circuits made for it: every pixel nine times."""

    name: ClassVar[str] = "digits_28"
    title: ClassVar[str] = "the same digits scaled up to 28x28, for what takes MNIST's images; no MNIST either"

    def load(self) -> Dataset:
        """Train (1297, 784) and test (500, 784) uint8, 0 to 16, as `Digits` splits them, with two dark pixels around.

        Raises DataError as `Digits` does.
        """
        small = super().load()
        train, test = (
            Split(_enlarged(split.samples.reshape(-1, *small.sample_shape)), split.labels)
            for split in (small.train, small.test)
        )
        sha256 = sha256_of(train.samples, train.labels, test.samples, test.labels)
        return dataclasses.replace(small, name=self.name, train=train, test=test, sample_shape=(28, 28), sha256=sha256)


def _enlarged(images: Array) -> Array:
    """(n, 8, 8) to (n, 784)."""
    larger = images.repeat(3, axis=1).repeat(3, axis=2)
    return np.pad(larger, ((0, 0), (2, 2), (2, 2))).reshape(len(images), -1)


def _read(route: str) -> tuple[Array, Array]:
    """The file of scikit-learn's `load_digits`, without its second of imports: samples (1797, 64), labels (1797,)."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("scikit-learn is not installed")
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    try:
        table = np.loadtxt(path, dtype=np.uint8, delimiter=",")
    except (OSError, ValueError) as error:
        raise DataError(f"{route} has no digits that can be read: {error}") from error
    return table[:, :-1], table[:, -1]


def _stratified(labels: Array) -> Array:
    """(n,) bool: N_TEST samples spread evenly over the samples sorted by class, so over each class too."""
    chosen = np.zeros(len(labels), bool)
    # Without a random generator, whose stream may change with numpy's version.
    by_class = np.argsort(labels, kind="stable")
    chosen[by_class] = np.diff(np.arange(len(labels) + 1) * N_TEST // len(labels)) > 0
    return chosen
