"""Where the random bits of a mechanism come from."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from ppbench.bundle import Array

Words: TypeAlias = Callable[[int], Array]
"""n -> (n,) int64, all 64 bits of each uniform and independent."""


def os_words(n: int) -> Array:
    """From the operating system's generator, for noise that has to keep a secret.

    numpy's generators are not made for that: where the sample is known (MNIST's corners are 0), the noise lies open,
    and from enough of it the generator's state can be computed, and with it all other noise.
    """
    return np.frombuffer(os.urandom(8 * n), np.int64)


def seeded_words(random: np.random.Generator) -> Words:
    """From a generator, for noise on public training data, which is to be the same each time."""
    return lambda n: np.frombuffer(random.bytes(8 * n), np.int64)
