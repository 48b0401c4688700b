"""How far apart two samples can be: the sensitivity of releasing a sample itself."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from ppbench.bundle import Array

Norm = Literal["l1", "l2"]
NORMS: tuple[Norm, ...] = ("l1", "l2")


def clipped(samples: Array, norm: Norm, bound: float) -> Array:
    """(n, d) -> (n, d) float64: samples of a larger norm than `bound` scaled down to it, others as they are."""
    values: Array = samples.astype(np.float64)
    size: Array = np.abs(values).sum(axis=1) if norm == "l1" else np.sqrt(np.square(values).sum(axis=1))
    values *= (bound / np.maximum(size, bound))[:, np.newaxis]
    return values


def cube_sensitivity(distance: Norm, dimension: int, clip_norm: Norm = "l1", clip_bound: float = 0.0) -> float:
    """The largest distance of two points of [0, 1]^dimension after `clipped`; `clip_bound` 0: not clipped.

    That values are not negative is used twice: |x - y|_2^2 <= |x|_2^2 + |y|_2^2, so clipping to C in L2 leaves
    sqrt(2) C and not 2 C; and that they are at most 1, so |x|_2^2 <= |x|_1.
    """
    sides = float(dimension)
    l1, l2 = sides, math.sqrt(sides)
    if clip_bound > 0 and clip_norm == "l1":
        l1 = min(l1, 2 * clip_bound)
        l2 = min(l2, math.sqrt(2 * min(clip_bound, clip_bound**2)))
    elif clip_bound > 0:
        l2 = min(l2, math.sqrt(2) * clip_bound)
        l1 = min(l1, math.sqrt(sides) * l2)
    return l1 if distance == "l1" else l2
