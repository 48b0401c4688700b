"""Gaussian random projection: from a clear sample to what is sent."""

from __future__ import annotations

import numpy as np

from ppbench.bundle import Array
from ppbench.errors import ConfigError, choose
from ppbench.privacy.chance import Words, os_words, seeded_words
from ppbench.privacy.mechanisms import Gaussian
from ppbench.scheme import TaskFacts

ENCODINGS = ("float32", "float16")


def gaussian_matrix(dimension: int, width: int, words: Words = os_words) -> Array:
    """(d, k) float32 of independent N(0, 1/k): lengths and distances are kept in the mean (Johnson & Lindenstrauss)."""
    return Gaussian(width**-0.5).noise((dimension, width), words).astype(np.float32)


def matrix_of(secret: int, dimension: int, width: int) -> Array:
    """The matrix of everybody who has this secret: 8 bytes travel instead of the matrix's 4 d k."""
    return gaussian_matrix(dimension, width, seeded_words(np.random.default_rng(secret)))


def width_of(ratio: float, facts: TaskFacts) -> int:
    """k, the values of a projected sample: this share of its dimension d, and at least 1."""
    return max(1, round(ratio * facts.dimension))


def check_projection(ratio: float, encoding: str) -> None:
    """Refuse a projection to no value, or to more than there are, and an unknown encoding. Raises ConfigError."""
    if not 0 < ratio <= 1:
        raise ConfigError(f"scheme.ratio={ratio!r} must be above 0 and at most 1: a projection to k <= d values")
    choose("scheme.encoding", encoding, ENCODINGS)
