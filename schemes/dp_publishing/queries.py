"""Counting queries over a table: how many records lie in certain cells of it?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.data.dataset import TrainingDataset
from ppbench.errors import ConfigError, ProtocolError, unknown

LABEL = "label"
_DEFAULT_ATTRIBUTES = 2


@dataclasses.dataclass(frozen=True)
class Table:
    """Some attributes of a record, the values of each cut into ranges of equal width; a cell is one range of each.

    Nothing of it depends on a record: what values there can be is public.
    """

    positions: tuple[int, ...]
    """Of the attributes in a sample; the label comes after the last one."""
    n_values: tuple[int, ...]
    n_ranges: tuple[int, ...]

    @property
    def n_cells(self) -> int:
        """Cells of the table."""
        return math.prod(self.n_ranges)

    def histogram(self, samples: Array, labels: Array) -> Array:
        """(n, d) and (n,) integers -> (cells,) int64: how many records lie in each cell.

        Raises ProtocolError for a value that there cannot be.
        """
        records = np.column_stack([samples, labels])[:, self.positions].astype(np.int64)
        if ((records < 0) | (records >= self.n_values)).any():
            raise ProtocolError("a record has a value that its attribute cannot have")
        ranges = records * self.n_ranges // np.array(self.n_values)
        cells = np.ravel_multi_index(tuple(ranges.T), self.n_ranges)
        return np.bincount(cells, minlength=self.n_cells)

    def to_tree(self) -> Tree:
        """For an artifact."""
        return dataclasses.asdict(self)

    @classmethod
    def from_tree(cls, tree: Tree) -> Table:
        """What `to_tree` made."""
        return cls(**{name: tuple(values) for name, values in tree.items()})


def table(dataset: TrainingDataset, attributes: Sequence[str], n_ranges: int) -> Table:
    """The table of some attributes by name, `label` among them, or, if none is named, of two and the label.

    Where the data set names no columns, their names are their positions. Raises ConfigError for an unknown name, for
    samples that are no integers, and for a table of one cell.
    """
    if dataset.train.samples.dtype.kind not in "ui":
        raise ConfigError(f"dataset={dataset.name} has samples of type {dataset.train.samples.dtype}, not integers")
    width = dataset.train.samples.shape[1]
    names = [column.name for column in dataset.columns] or [str(position) for position in range(width)]
    n_values = [len(column.values) for column in dataset.columns] or [int(dataset.sample_max) + 1] * width
    by_name = {**dict(zip(names, zip(range(width), n_values, strict=True), strict=True))}
    by_name[LABEL] = (width, dataset.n_classes)
    evenly = [names[(i + 1) * width // (_DEFAULT_ATTRIBUTES + 1)] for i in range(_DEFAULT_ATTRIBUTES)]
    for name in attributes:
        if name not in by_name:
            raise unknown(f"attribute of {dataset.name}", name, by_name)
    chosen = [by_name[name] for name in attributes or (*evenly, LABEL)]
    found = Table(
        positions=tuple(position for position, _ in chosen),
        n_values=tuple(n for _, n in chosen),
        n_ranges=tuple(min(n, n_ranges) for _, n in chosen),
    )
    if found.n_cells < 2:
        raise ConfigError(f"scheme.attributes={list(attributes)} make a table of one cell: there is nothing to ask")
    return found


def overlapping(table: Table, n_queries: int, random: np.random.Generator) -> Array:
    """(n_queries, cells) bool: each asks for some consecutive ranges of about half of the attributes.

    As in "how many are between 35 and 53, work at most 49 hours and earn more than 50,000?". A record is counted by
    many of them, which is what the paper calls correlated.
    """
    queries: list[Array] = []
    while len(queries) < n_queries:
        asked = np.ones(table.n_ranges, bool)
        for axis, n_ranges in enumerate(table.n_ranges):
            if random.random() < 0.5:
                low, high = np.sort(random.choice(n_ranges + 1, 2, replace=False))
                inside = (np.arange(n_ranges) >= low) & (np.arange(n_ranges) < high)
                asked &= np.expand_dims(inside, [other for other in range(asked.ndim) if other != axis])
        if not asked.all():
            queries.append(asked.ravel())
    return np.array(queries)


def disjoint(table: Table, n_queries: int, random: np.random.Generator) -> Array:
    """(n_queries, cells) bool: the cells are dealt to the queries, so that a record is counted by one of them."""
    owner = np.empty(table.n_cells, int)
    owner[random.permutation(table.n_cells)] = np.arange(table.n_cells) % n_queries
    asked: Array = owner == np.arange(n_queries)[:, np.newaxis]
    return asked
