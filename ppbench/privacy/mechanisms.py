"""Additive noise calibrated to sensitivity: the Laplace and the Gaussian mechanism, on whole arrays."""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import ClassVar, Self

import numpy as np

from ppbench.bundle import Array
from ppbench.privacy.analytic_gaussian import gaussian_epsilon, gaussian_scale
from ppbench.privacy.chance import Words, os_words
from ppbench.privacy.guarantee import Privacy, check_epsilon, check_positive
from ppbench.privacy.sensitivity import Norm

_CHUNK = 8192
"""Values drawn at a time: 64 KB stay in the cache, where a whole batch at once takes 1.6 times as long."""
_FINEST_STEP = 2.0**-20


@dataclasses.dataclass(frozen=True)
class Mechanism(abc.ABC):
    """Independent noise of one scale on every value.

    The guarantees hold for real numbers. In floating point the low-order bits of a noisy value tell the true one
    (Mironov, CCS'12), so `release` rounds to a grid that is the same for every input, a thousandth of the scale wide.
    Each of its points within 14 b (Laplace) of the value is reached by millions of draws, whatever the input. That
    closes the known attack but is no proof, as the discrete mechanisms have one; and noise ends at 37 b or 8.5 sigma,
    beyond which the true distributions have a probability of at most 1e-16. So delta is a little larger than stated,
    and Laplace's not exactly 0: 2^53 draws make the points of its tail likely in steps of 2^-53, which is a delta of
    2e-12 a value where a value's own epsilon is up to 1, of 2e-11 at 3 and of 2e-8 at 10.
    """

    scale: float
    """In units of the values. Raises ConfigError unless it is finite and above 0."""

    distance: ClassVar[Norm]
    """In which norm it takes the sensitivity."""
    deviation: ClassVar[float]
    """Standard deviation of the noise of scale 1."""

    def __post_init__(self) -> None:
        check_positive("noise scale", self.scale)

    @classmethod
    @abc.abstractmethod
    def calibrated(cls, epsilon: float, delta: float, sensitivity: float) -> Self:
        """With the least noise that guarantees (epsilon, delta). Raises ConfigError for values out of range."""

    @abc.abstractmethod
    def privacy(self, sensitivity: float, delta: float, neighbouring: str) -> Privacy:
        """What one release of inputs this far apart guarantees, at this delta where it needs one."""

    @staticmethod
    @abc.abstractmethod
    def standard_noise(uniform: Array) -> Array:
        """(n,) uniform in (-1, 1), never 0, n even -> (n,) independent noise of scale 1; may overwrite its input."""

    def noise(self, shape: tuple[int, ...], words: Words = os_words) -> Array:
        """Independent noise, float64, before any rounding."""
        n = math.prod(shape)
        drawn = np.empty(n + n % 2)
        for start in range(0, len(drawn), _CHUNK):
            part = drawn[start : start + _CHUNK]
            part[:] = self.standard_noise(_uniform(words(len(part))))
        drawn *= self.scale
        return drawn[:n].reshape(shape)

    @property
    def step(self) -> float:
        """Of the grid that releases are rounded to: a power of 2, so that float32 holds its points exactly."""
        return max(2.0 ** (math.floor(math.log2(self.scale)) - 10), _FINEST_STEP)

    def release(self, values: Array, words: Words = os_words) -> Array:
        """Noisy values, float32 of the same shape, on the grid."""
        noisy = self.noise(values.shape, words)
        noisy += values
        noisy *= 1 / self.step
        np.rint(noisy, out=noisy)
        noisy *= self.step
        return noisy.astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Laplace(Mechanism):
    """Density exp(-|x| / b) / 2b: pure epsilon-privacy (Dwork, McSherry, Nissim, Smith, TCC'06, proposition 1)."""

    distance: ClassVar[Norm] = "l1"
    deviation: ClassVar[float] = math.sqrt(2)

    @classmethod
    def calibrated(cls, epsilon: float, delta: float, sensitivity: float) -> Self:
        """Scale L1 sensitivity / epsilon; delta is not needed."""
        check_epsilon("epsilon", epsilon)
        return cls(sensitivity / epsilon)

    def privacy(self, sensitivity: float, delta: float, neighbouring: str) -> Privacy:
        """Pure: epsilon = L1 sensitivity / b, delta = 0."""
        return Privacy(sensitivity / self.scale, 0.0, neighbouring, "Laplace mechanism", self.scale)

    @staticmethod
    def standard_noise(uniform: Array) -> Array:
        """The sign of the uniform number, and -log of its size."""
        return np.copysign(np.log(np.abs(uniform)), uniform)


@dataclasses.dataclass(frozen=True)
class Gaussian(Mechanism):
    """N(0, sigma^2): (epsilon, delta)-privacy by the analytic calibration."""

    distance: ClassVar[Norm] = "l2"
    deviation: ClassVar[float] = 1.0

    @classmethod
    def calibrated(cls, epsilon: float, delta: float, sensitivity: float) -> Self:
        """The smallest sigma that theorem 8 of Balle & Wang allows."""
        return cls(gaussian_scale(epsilon, delta, sensitivity))

    def privacy(self, sensitivity: float, delta: float, neighbouring: str) -> Privacy:
        """The smallest epsilon that theorem 8 of Balle & Wang gives at this delta."""
        epsilon = gaussian_epsilon(self.scale, delta, sensitivity)
        return Privacy(epsilon, delta, neighbouring, "analytic Gaussian mechanism", self.scale)

    @staticmethod
    def standard_noise(uniform: Array) -> Array:
        """Box and Muller's transform: the first half gives the radii, the second the angles."""
        first, second = np.split(uniform, 2)
        radius = np.sqrt(-2 * np.log(np.abs(first)))
        angle = np.pi * second
        return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])


MECHANISMS: dict[str, type[Mechanism]] = {"laplace": Laplace, "gaussian": Gaussian}


def _uniform(words: Array) -> Array:
    """(n,) int64 -> (n,) float64: the middles of 2^53 equal parts of (-1, 1), so never 0 and never at an end."""
    uniform = (words >> 11).astype(np.float64)
    uniform += 0.5
    uniform *= 2.0**-52
    return uniform
