"""Mechanisms that answer each counting query from the data. A count changes by at most 1 if one record does."""

from __future__ import annotations

import numpy as np

from ppbench.bundle import Array
from ppbench.privacy.chance import os_words
from ppbench.privacy.mechanisms import Laplace


def laplace(counts: Array, epsilon: float) -> Array:
    """(k,) -> (k,) float32, each with noise of scale 1 / epsilon: Dwork et al., TCC'06 (the paper's [14])."""
    return Laplace(1 / epsilon).release(counts.astype(np.float64))


def exponential(counts: Array, epsilon: float, n_records: int) -> Array:
    """(k,) -> (k,) float32 whole numbers from 0 to `n_records`: McSherry & Talwar, FOCS'07 (the paper's [33]).

    The worth of an answer is minus its error, which changes by at most 1 if one record does: an answer is drawn with
    probability proportional to exp(-epsilon |error| / 2).
    """
    candidates = np.arange(n_records + 1)
    drawn = np.empty(len(counts), np.float32)
    for i, count in enumerate(counts):
        cumulative = np.cumsum(np.exp(-epsilon / 2 * np.abs(candidates - count)))
        drawn[i] = np.searchsorted(cumulative, _uniform() * cumulative[-1])
    return drawn


def _uniform() -> float:
    """In (0, 1), from the operating system's generator."""
    return (int(os_words(1).view(np.uint64)[0] >> np.uint64(12)) + 0.5) / 2.0**52
