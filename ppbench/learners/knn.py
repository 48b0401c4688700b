"""k nearest neighbours, by scikit-learn."""

from __future__ import annotations

from typing import Any

from ppbench.bundle import Array

N_NEIGHBOURS = 3


class Knn:
    """Majority of the nearest by Euclidean distance, found by comparing with every training sample."""

    def __init__(self) -> None:
        from sklearn.neighbors import KNeighborsClassifier

        self._classifier: Any = KNeighborsClassifier

    def fit(self, samples: Array, labels: Array, seed: int) -> TrainedKnn:
        """See `Learner.fit`; nothing is random. Of fewer samples than neighbours, all vote."""
        n_neighbours = min(N_NEIGHBOURS, len(samples))
        return TrainedKnn(self._classifier(n_neighbours, algorithm="brute").fit(samples, labels))


class TrainedKnn:
    """Keeps the training samples."""

    def __init__(self, classifier: Any) -> None:
        self._classifier = classifier

    def __call__(self, samples: Array) -> Array:
        """(n, k) -> (n,) of the labels' type; of equally many votes, the lowest label wins."""
        labels: Array = self._classifier.predict(samples)
        return labels

    def distances(self, samples: Array, n_neighbours: int) -> Array:
        """(n, k) -> (n, n_neighbours) ascending; answers hang on which samples are the nearest, and on no more."""
        distances: Array = self._classifier.kneighbors(samples, n_neighbours)[0]
        return distances
