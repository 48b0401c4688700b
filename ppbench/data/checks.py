"""What a data set must be before anything is made of it; a source is a plugin, and may have made a mistake."""

from __future__ import annotations

import dataclasses
import math
from numbers import Real
from typing import Any

import numpy as np

from ppbench.bundle import Array
from ppbench.data.dataset import Dataset, Split, label_type
from ppbench.errors import DataError

_WIDEST_BYTES = 8
"""A wider type has no frame on the wire."""


def checked(name: str, dataset: Any) -> Dataset:
    """What the source of this name loaded, its labels in the task's own type and all values in the machine's order.

    Raises DataError, which names data set and field and says what is allowed.
    """
    if not isinstance(dataset, Dataset):
        raise _refused(name, "what load() gives", type(dataset).__name__, "a Dataset")
    _check_facts(name, dataset)
    train, test = (_split(name, field, getattr(dataset, field), dataset) for field in ("train", "test"))
    return dataclasses.replace(dataset, train=train, test=test)


def _check_facts(name: str, dataset: Dataset) -> None:
    shape, largest, n_classes = dataset.sample_shape, dataset.sample_max, dataset.n_classes
    if not isinstance(shape, tuple) or not shape or not all(_is_count(side) for side in shape):
        raise _refused(name, "sample_shape", repr(shape), "a tuple of integers from 1 on, such as (28, 28)")
    if isinstance(largest, bool) or not isinstance(largest, Real) or not 0 < largest < math.inf:
        raise _refused(name, "sample_max", repr(largest), "a finite number above 0")
    if not _is_count(n_classes):
        raise _refused(name, "n_classes", repr(n_classes), "an integer from 1 on")
    if not isinstance(dataset.sha256, str) or not dataset.sha256:
        raise _refused(name, "sha256", repr(dataset.sha256), "a text that no other content has: records name it")
    if dataset.columns and len(dataset.columns) != math.prod(shape):
        raise _refused(name, "columns", f"{len(dataset.columns)} of them", f"none, or {math.prod(shape)}")


def _split(name: str, field: str, split: Any, dataset: Dataset) -> Split:
    if not isinstance(split, Split):
        raise _refused(name, field, type(split).__name__, "a Split")
    samples = _samples(name, f"{field}.samples", split.samples, dataset)
    labels = _labels(name, f"{field}.labels", split.labels, len(samples), dataset.n_classes)
    return Split(samples, labels)


def _samples(name: str, field: str, samples: Any, dataset: Dataset) -> Array:
    width = math.prod(dataset.sample_shape)
    due = f"an array (n, {width}) of integers or floats, n from 1 on"
    if not isinstance(samples, np.ndarray):
        raise _refused(name, field, type(samples).__name__, due)
    if samples.ndim != 2 or samples.shape[1] != width or not len(samples):
        raise _refused(name, field, f"{samples.dtype} {samples.shape}", due)
    if samples.dtype.kind not in "uif" or samples.dtype.itemsize > _WIDEST_BYTES:
        raise _refused(name, field, f"{samples.dtype} {samples.shape}", due)
    low, high = samples.min(), samples.max()  # NaN if any value is
    if not 0 <= low <= high <= dataset.sample_max:
        found = f"{low} to {high}" if np.isfinite([low, high]).all() else "values that are not finite"
        raise _refused(name, field, found, f"0 to sample_max={dataset.sample_max:g}")
    return _owned(samples, samples.dtype.newbyteorder("="))


def _labels(name: str, field: str, labels: Any, n: int, n_classes: int) -> Array:
    due = f"an array ({n},) of integers, one for each sample"
    if not isinstance(labels, np.ndarray):
        raise _refused(name, field, type(labels).__name__, due)
    if labels.shape != (n,) or labels.dtype.kind not in "ui":
        raise _refused(name, field, f"{labels.dtype} {labels.shape}", due)
    if not 0 <= labels.min() <= labels.max() < n_classes:
        raise _refused(name, field, f"{labels.min()} to {labels.max()}", f"0 to n_classes - 1 = {n_classes - 1}")
    return _owned(labels, label_type(n_classes))


def _owned(values: Array, kind: np.dtype[Any]) -> Array:
    """Contiguous and no view: from one split, nobody reaches the other through what both were cut from."""
    array = np.ascontiguousarray(values, kind)
    return array if array.base is None else array.copy()


def _is_count(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= 1)


def _refused(name: str, field: str, found: str, due: str) -> DataError:
    return DataError(f"data set '{name}': {field} is {found}, but must be {due}")
