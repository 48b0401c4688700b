"""Multinomial logistic regression under DP-SGD, with exact clipping in closed form."""

from __future__ import annotations

import numpy as np

from ppbench.bundle import Array
from schemes.dp_sgd.descent import ClippedSum, clipping_factors


def clipped_sum(features: Array, labels: Array, n_classes: int, clip: float) -> ClippedSum:
    """For `descend`: features (n, d) float32, whose parameters are weights (n_classes, d).

    The gradient of the cross-entropy of one record is the outer product of error and features, so its norm is the
    product of theirs, and the sum of clipped gradients is one matrix product: no per-record gradient is ever made
    (what Goodfellow, 2015, calls an efficient per-example gradient computation).
    """
    squared_norms = np.einsum("nd,nd->n", features, features, dtype=np.float64)

    def compute(parameters: Array, chosen: Array) -> Array:
        # All in double precision: in single, a record's own errors come out differently beside other records, too.
        inputs = features[chosen].astype(np.float64)
        errors = softmax(inputs @ parameters.astype(np.float64).reshape(n_classes, -1).T)
        errors[np.arange(len(chosen)), labels[chosen]] -= 1
        norms = np.sqrt(np.square(errors).sum(axis=1) * squared_norms[chosen])
        errors *= clipping_factors(norms, clip)[:, np.newaxis]
        total: Array = errors.T @ inputs
        return total.ravel()

    return compute


def softmax(logits: Array) -> Array:
    """(n, classes) -> (n, classes) probabilities."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Array = odds / odds.sum(axis=1, keepdims=True)
    return probabilities
