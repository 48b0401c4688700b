"""Differentially private stochastic gradient descent: Abadi et al., CCS'16, algorithm 1 (the paper's [1])."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from ppbench.bundle import Array
from ppbench.privacy.chance import os_words
from ppbench.privacy.mechanisms import Gaussian

ClippedSum: TypeAlias = Callable[[Array, Array], Array]
"""(p,) parameters and (m,) indices of records, m may be 0 -> (p,) float64 sum of the m gradients, each clipped."""
_MARGIN = 2.0**-20
"""By how much of `clip` gradients are clipped shorter. What a record changes in a sum of m gradients is its own, and
how the others are rounded: in double precision at most 2^-52 m^2 `clip` in all, for the 2^16 records of the largest
step less than this margin. In single precision it would be 5 % of `clip` for a thousand records."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that decides a training but its data and its chance."""

    steps: int
    sample_rate: float
    """Each record takes part in a step with this probability, independent of all others and of other steps."""
    noise_multiplier: float
    """Standard deviation of the noise, in units of `clip`."""
    clip: float
    """L2 norm to which the gradient of each record is clipped."""
    learning_rate: float
    """In the first step; from there it falls in a straight line to 0."""
    momentum: float


def descend(
    start: Array, n_records: int, clipped_sum: ClippedSum, recipe: Recipe, step_taken: Callable[[float, float], None]
) -> Array:
    """(p,) float32 parameters after all steps from `start`.

    Only noisy sums decide a step, so everything that follows from them, such as momentum, costs no privacy. Sampling
    and noise are drawn from the operating system's generator: who could repeat them would know the clear sums.
    `step_taken` hears of each step's noise multiplier and sample rate.
    """
    noise = Gaussian(recipe.noise_multiplier * recipe.clip)
    expected = recipe.sample_rate * n_records
    parameters: Array = start.astype(np.float32)
    velocity: Array = np.zeros_like(parameters)
    for step in range(recipe.steps):
        chosen = poisson_sample(n_records, recipe.sample_rate)
        noisy = noise.release(clipped_sum(parameters, chosen))
        step_taken(recipe.noise_multiplier, recipe.sample_rate)
        # By the expected number: the number drawn is as secret as the records.
        velocity = recipe.momentum * velocity + noisy / np.float32(expected)
        parameters = parameters - np.float32(recipe.learning_rate * (1 - step / recipe.steps)) * velocity
    return parameters


def poisson_sample(n: int, rate: float) -> Array:
    """Indices of a Poisson sample: each of n records is in it with probability `rate`, which the accountants assume."""
    drawn = os_words(n).view(np.uint64)
    return np.flatnonzero(drawn <= np.uint64(min(int(rate * 2.0**64), 2**64 - 1)))


def clipping_factors(norms: Array, clip: float) -> Array:
    """(n,) float64 norms of gradients -> (n,) what to multiply them with, so that no record moves a sum by more.

    For that, multiply and add in double precision.
    """
    bound = clip * (1 - _MARGIN)
    factors: Array = bound / np.maximum(norms, bound)
    return factors
