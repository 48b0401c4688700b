"""How much privacy a mechanism gives at most: an empirical lower bound on epsilon from telling two inputs apart."""

from __future__ import annotations

import numpy as np

from ppbench.bundle import Array

_N_THRESHOLDS = 200
"""Events rarer than 1 in 200 are not tried: among thousands, one of few hits is chosen for its luck, and then fails."""


def epsilon_lower_bound(one: Array, other: Array, delta: float = 0.0, confidence: float = 0.99) -> float:
    """An epsilon that the mechanism exceeds or meets, at this confidence; 0 if nothing can be said.

    `one` and `other` are (n,) outputs for two neighbouring inputs. (epsilon, delta)-privacy bounds every event E:
    P(one in E) <= exp(epsilon) P(other in E) + delta, and the same with the two exchanged. The events tried are those
    above and below a threshold, the best there are where the likelihood ratio is monotone, as it is for Laplace and
    Gaussian noise. The event is chosen on the first half of the outputs and measured on the second, where Clopper and
    Pearson's exact intervals hold (Jagielski et al., NeurIPS'20, section 4).

    Of whole images such an audit has no power: use scalars, epsilon <= 2 and n >= 1e5.
    """
    (one, one_fresh), (other, other_fresh) = (np.array_split(outputs, 2) for outputs in (one, other))
    thresholds = np.quantile(np.concatenate([one, other]), np.linspace(0, 1, _N_THRESHOLDS + 2)[1:-1])
    best, measured = -np.inf, 0.0
    for likely, unlikely, fresh in ((one, other, (one_fresh, other_fresh)), (other, one, (other_fresh, one_fresh))):
        for side in (1, -1):
            bounds = _bounds(side * thresholds, side * likely, side * unlikely, delta, confidence)
            if bounds.max() > best:
                best = bounds.max()
                threshold = side * thresholds[[bounds.argmax()]]
                measured = float(_bounds(threshold, side * fresh[0], side * fresh[1], delta, confidence)[0])
    return max(0.0, measured)


def _bounds(thresholds: Array, likely: Array, unlikely: Array, delta: float, confidence: float) -> Array:
    """log((P(likely > t) - delta) / P(unlikely > t)) for each threshold t, both at the cautious end."""
    from scipy.stats import beta  # type: ignore[import-untyped]

    hits, false_hits = (len(o) - np.searchsorted(np.sort(o), thresholds, side="right") for o in (likely, unlikely))
    each = (1 - confidence) / 2
    lowest = np.where(hits > 0, beta.ppf(each, hits, len(likely) - hits + 1), 0)
    highest = np.where(false_hits < len(unlikely), beta.isf(each, false_hits + 1, len(unlikely) - false_hits), 1)
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(lowest - delta, 0) / highest)
