"""A few samples of a data set, as a data set: so small that a check may train on it several times."""

from __future__ import annotations

import dataclasses
import json
from typing import ClassVar

import numpy as np

from ppbench.data.dataset import Dataset, DatasetSource, Split, sha256_of
from ppbench.measure.load import load_dataset
from ppbench.options import typed_fields
from ppbench.plugin import resolve, target_of


@dataclasses.dataclass(frozen=True)
class Part(DatasetSource):
    """Samples at even distances, so that all classes are among them even where they are sorted."""

    name: ClassVar[str] = "part"
    title: ClassVar[str] = "a few samples of another data set"

    of: str = "ppbench.data.digits:Digits"
    """`module:Class` of the whole."""
    options_json: str = "{}"
    """The options of the whole."""
    n_train: int = 512
    n_test: int = 128

    def load(self) -> Dataset:
        """At most so many samples. Raises DataError as the whole does."""
        source = resolve(self.of)
        whole = load_dataset(source(**typed_fields(source, "dataset", json.loads(self.options_json))))
        train, test = _spread(whole.train, self.n_train), _spread(whole.test, self.n_test)
        sha256 = sha256_of(train.samples, train.labels, test.samples, test.labels)
        return dataclasses.replace(whole, name=self.name, train=train, test=test, sha256=sha256)


def part_of(source: DatasetSource) -> Part:
    """The part of a data set that checks train on."""
    return Part(target_of(type(source)), json.dumps(source.options()))


def _spread(split: Split, n: int) -> Split:
    chosen = np.linspace(0, len(split) - 1, min(n, len(split))).astype(int)
    return Split(np.ascontiguousarray(split.samples[chosen]), np.ascontiguousarray(split.labels[chosen]))
