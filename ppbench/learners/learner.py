"""What a learner is: the one thing that training schemes need of support vectors, neighbours and networks alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from ppbench.bundle import Array

Classify: TypeAlias = Callable[[Array], Array]
"""(n, k) -> (n,) labels, each of which occurred in the training set, and of its type."""


class Learner(Protocol):
    """Imports its library when it is made, so that no stage is charged for the import."""

    def fit(self, samples: Array, labels: Array, seed: int) -> Classify:
        """Learn from (n, k) finite floats, n at least 1, with (n,) labels.

        The same arguments, versions and thread count give the same answers. A class that does not occur is never
        answered; where only one occurs, it is the answer to everything.
        """
