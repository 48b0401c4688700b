"""Support vector machines with the Gaussian (RBF) kernel, by scikit-learn."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ppbench.bundle import Array

SCALE = "scale"
"""scikit-learn's default gamma, 1 / (k X.var()). `X.var()` is taken over all values of all features together, around
their common mean: it changes when the samples are rotated, and the kernel with it.
"""
_C = 10.0
_TOLERANCE = 1e-6
"""A thousandth of scikit-learn's: the solver stops at another place for samples that differ in their last bits only,
and decision values are to be compared beyond the sixth digit.
"""
_CACHE_MB = 500.0


class Svm:
    """C-SVC, one classifier for each pair of classes. Features are used as they come: none is scaled by itself."""

    def __init__(self, gamma: float | str = SCALE) -> None:
        """`gamma`: of the kernel exp(-gamma |x - y|^2), or SCALE."""
        from sklearn.svm import SVC

        # The seed is not used without probabilities, but scikit-learn draws it, by default from numpy's global state.
        self._new_machine = functools.partial(
            SVC,
            C=_C,
            gamma=gamma,
            tol=_TOLERANCE,
            cache_size=_CACHE_MB,
            decision_function_shape="ovo",
            random_state=0,
        )

    def fit(self, samples: Array, labels: Array, seed: int) -> TrainedSvm:
        """See `Learner.fit`; nothing is random."""
        if (labels == labels[0]).all():
            return TrainedSvm(None, labels[:1])
        return TrainedSvm(self._new_machine().fit(samples, labels), labels[:1])


class TrainedSvm:
    """Answers with the class that wins most pairs."""

    def __init__(self, machine: Any, only_class: Array) -> None:
        self._machine = machine
        self._only_class = only_class

    def __call__(self, samples: Array) -> Array:
        """(n, k) -> (n,) of the labels' type."""
        if self._machine is None:
            return np.repeat(self._only_class, len(samples))
        labels: Array = self._machine.predict(samples)
        return labels

    def decision_values(self, samples: Array) -> Array:
        """(n, k) -> (n, pairs of classes) float64, positive where the first of the pair wins; (n, 0) for one class.

        While no value changes its sign, no answer changes.
        """
        if self._machine is None:
            return np.empty((len(samples), 0))
        values: Array = self._machine.decision_function(samples)
        return values.reshape(len(samples), -1)
