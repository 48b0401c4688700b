"""The analytic calibration of Gaussian noise: Balle & Wang, ICML'18, theorem 8 and algorithm 1.

The classical sigma = sensitivity sqrt(2 ln(1.25/delta)) / epsilon is proven for epsilon < 1 only. At epsilon 1000 and
delta 1e-5 it gives so little noise that the true delta is about 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ppbench.privacy.guarantee import check_delta, check_epsilon, check_positive

_ERFCX_ASYMPTOTIC = 25.0
"""From here on erfc nears underflow, and five terms of the asymptotic series are exact to double precision."""


def gaussian_delta(epsilon: float, scale: float, sensitivity: float) -> float:
    """The smallest delta for which noise N(0, scale^2) is (epsilon, delta)-private at this L2 sensitivity.

    Theorem 8: delta = Phi(a - t) - exp(epsilon) Phi(-a - t) with a = sensitivity / (2 scale) and t = epsilon scale /
    sensitivity. exp(epsilon) overflows from 710 on, so both terms are written with the density phi(a - t) as a factor:
    exp(epsilon) phi(a + t) = phi(a - t), because epsilon = 2 a t.
    """
    a = sensitivity / (2 * scale)
    t = epsilon * scale / sensitivity
    density = math.exp(-((a - t) ** 2) / 2) / math.sqrt(2 * math.pi)
    if a < t:
        return density * (_mills(t - a) - _mills(t + a))
    return math.erfc((t - a) / math.sqrt(2)) / 2 - density * _mills(t + a)


def gaussian_scale(epsilon: float, delta: float, sensitivity: float) -> float:
    """The smallest sigma that makes N(0, sigma^2) (epsilon, delta)-private at this L2 sensitivity.

    Raises ConfigError for an epsilon outside [1e-6, 1e9], a delta outside (0, 1) or a sensitivity not above 0.
    """
    check_epsilon("epsilon", epsilon)
    check_delta("delta", delta)
    check_positive("sensitivity", sensitivity)
    # rho-zCDP implies (rho + 2 sqrt(rho ln(1/delta)), delta) (Bun & Steinke, TCC'16, proposition 1.3): enough noise.
    log_inverse = -math.log(delta)
    root_rho = epsilon / (math.sqrt(log_inverse + epsilon) + math.sqrt(log_inverse))
    enough = sensitivity / (math.sqrt(2) * root_rho)
    return _smallest(lambda scale: gaussian_delta(epsilon, scale, sensitivity) <= delta, enough)


def gaussian_epsilon(scale: float, delta: float, sensitivity: float) -> float:
    """The smallest epsilon for which noise N(0, scale^2) is (epsilon, delta)-private at this L2 sensitivity; may be 0.

    Raises ConfigError for a scale or sensitivity that is not above 0, or a delta outside (0, 1).
    """
    check_positive("noise scale", scale)
    check_delta("delta", delta)
    check_positive("sensitivity", sensitivity)
    if gaussian_delta(0.0, scale, sensitivity) <= delta:
        return 0.0
    rho = (sensitivity / scale) ** 2 / 2
    enough = rho + 2 * math.sqrt(-rho * math.log(delta))
    return _smallest(lambda epsilon: gaussian_delta(epsilon, scale, sensitivity) <= delta, enough)


def _smallest(is_enough: Callable[[float], bool], enough: float) -> float:
    """By bisection, the smallest positive number that is enough, to a relative 1e-14; everything above it is, too."""
    low, high = enough / 2, enough
    while is_enough(low):
        low, high = low / 2, low
    while high - low > 1e-14 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def _mills(x: float) -> float:
    """Phi(-x) / phi(x) for x >= 0."""
    return math.sqrt(math.pi / 2) * _erfcx(x / math.sqrt(2))


def _erfcx(x: float) -> float:
    """exp(x^2) erfc(x) for x >= 0."""
    if x < _ERFCX_ASYMPTOTIC:
        return math.exp(x * x) * math.erfc(x)
    y = 1 / (2 * x * x)
    return (1 - y * (1 - 3 * y * (1 - 5 * y * (1 - 7 * y)))) / (x * math.sqrt(math.pi))
