"""What a data set is and what a source of one does."""

from __future__ import annotations

import abc
import dataclasses
import functools
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
class TrainingDataset:
    """A data set as models and schemes see it: without its test split, which only the harness holds."""

    name: str
    train: Split
    sample_shape: tuple[int, ...]
    sample_max: float
    n_classes: int
    columns: tuple[Column, ...] = ()

    @functools.cached_property
    def digest(self) -> str:
        """Hex digest of all of it: what is made from it is kept by this, and not by what its source calls itself."""
        facts = [getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "train"]
        return digest_of(self.train, *facts)


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

    @functools.cached_property
    def training(self) -> TrainingDataset:
        """All but the test split and where the bytes came from."""
        return TrainingDataset(self.name, self.train, self.sample_shape, self.sample_max, self.n_classes, self.columns)


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


def digest_of(split: Split, *facts: Any) -> str:
    """Hex digest of a split, its arrays by type, shape and bytes, and of what else decides what they mean."""
    digest = hashlib.sha256(repr(facts).encode())
    for array in (split.samples, split.labels):
        digest.update(f"{array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def sha256_of(*arrays: Array) -> str:
    """Hex digest of the contents of some arrays, concatenated."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
