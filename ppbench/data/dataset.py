"""What a data set is and what a source of one does."""

from __future__ import annotations

import abc
import dataclasses
import hashlib
from typing import Any

import numpy as np

from ppbench.bundle import Array
from ppbench.plugin import Plugin


@dataclasses.dataclass(frozen=True)
class Split:
    """Samples and their labels."""

    samples: Array
    """(n, d), as the device stores them: uint8 for images, row-major."""
    labels: Array
    """(n,) class indices, once loaded of `label_type`."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class Column:
    """What one value of a sample means: raw value v stands for `values[v]`. Public, whatever the samples are."""

    name: str
    values: tuple[str, ...]
    ordered: bool
    """Whether the order of the values means something, as that of ages does."""


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A verified data set in memory."""

    name: str
    train: Split
    test: Split
    sample_shape: tuple[int, ...]
    """The shape of one sample, such as (28, 28); its product is d."""
    sample_max: float
    """The raw value that stands for 1.0, and the largest there is: models see samples / sample_max."""
    n_classes: int
    sha256: str
    """Hex digest of the raw content, whatever container or route it came by."""
    route: str
    """How the bytes came here: folder, mirror URL, package, or cache with the route that filled it."""
    columns: tuple[Column, ...] = ()
    """For a table, one for each of the d values of a sample; empty where values are pixels or the like."""


@dataclasses.dataclass(frozen=True)
class DatasetSource(Plugin, abc.ABC):
    """A plugin that loads one data set."""

    @abc.abstractmethod
    def load(self) -> Dataset:
        """The whole data set, verified. Raises DataError with the exact manual steps if it cannot be had.

        `ppbench.data.checks` says what it must be; anything else raised here is the reason why the job failed.
        """


def label_type(n_classes: int) -> np.dtype[Any]:
    """The type of labels everywhere, on the wire too: one byte for up to 256 classes, two for up to 65,536."""
    return np.min_scalar_type(n_classes - 1)


def unit(samples: Array, sample_max: float) -> Array:
    """Raw samples as the float32 in [0, 1] that models take."""
    return samples.astype(np.float32) / np.float32(sample_max)


def sha256_of(*arrays: Array) -> str:
    """Hex digest of the contents of some arrays, concatenated."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.data)
    return digest.hexdigest()
