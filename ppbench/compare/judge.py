"""What can be said of one figure before and after: better, worse, no difference, or that it cannot be told."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

from ppbench.compare.figures import HANDSHAKE_BYTES, NEARLY, ROUNDING, Figure

Verdict = Literal["better", "worse", "no difference", "cannot tell"]

SIGNIFICANCE = 0.01
"""Of all comparisons of a run together: so rarely is a difference found where there is none."""
SMALLEST_EFFECT = 0.05
"""A smaller change of a measured figure is no difference, however sure."""
SMALLEST_LOSS = 0.03
"""Of an accuracy; where chance can hide so much, that nothing was lost cannot be told."""
FEWEST_PROCESSES = 5
SHORTEST_S = 0.01
"""What takes less in a pass is the clock's and the scheduler's as much as the scheme's."""
FEWEST_INSTRUCTIONS = 10_000_000
"""Of fewer in a pass, one in a hundred may be the harness's: some 25,000 for each message that is seconds in coming."""
_RESAMPLINGS = 2000


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One figure of one job in both folders."""

    job: str
    """The job's name, as tables have it."""
    metric: str
    before: float | None
    """The median over processes; None: it was not measured."""
    after: float | None
    verdict: Verdict
    why: str = ""
    ratio_low: float | None = None
    """Of a measured figure, `after / before` lies between these with a confidence of 95 %, by bootstrap."""
    ratio_high: float | None = None
    decides: bool = True
    """Whether a worse figure is a regression: what a machine's clocks say is so only if both were measured in turn."""

    @property
    def ratio(self) -> float | None:
        """`after / before`; None where there is none."""
        if self.before is None or self.after is None or self.before == 0:
            return None
        return self.after / self.before

    @property
    def is_regression(self) -> bool:
        """Whether the second folder is to be refused for it."""
        return self.decides and self.verdict == "worse"


def counted(job: str, before: Figure, after: Figure) -> Comparison:
    """Of a figure that does not depend on the machine."""
    old, new = before.middle, after.middle
    if before.kind == "share":
        return _share(job, before, after)
    if before.kind in ("near", "instructions"):
        once = HANDSHAKE_BYTES if before.metric.startswith("setup_") and before.kind == "near" else 0
        same, why = math.isclose(old, new, rel_tol=NEARLY, abs_tol=once), f"within {NEARLY:.0%}"
    elif before.kind == "promised":
        same, why = math.isclose(old, new, rel_tol=ROUNDING), "but for rounding"
    else:
        same, why = old == new, "exactly"
    verdict: Verdict = "no difference" if same else "worse" if new > old else "better"
    return Comparison(job, before.metric, old, new, verdict, why)


def _share(job: str, before: Figure, after: Figure) -> Comparison:
    old, new = before.middle, after.middle
    low, high = _chance(old, before.n_answers, after.n_answers)
    why = f"by chance {low:.2%} to {high:.2%} of {after.n_answers:,}"
    verdict: Verdict
    if not low <= new <= high:
        verdict = "worse" if new < old else "better"
    elif old - low >= SMALLEST_LOSS:
        verdict, why = "cannot tell", f"too few answers: {why}"
    else:
        verdict = "no difference"
    return Comparison(job, before.metric, old, new, verdict, why)


def executed(job: str, before: Figure, after: Figure, alike: bool) -> Comparison:
    """Of instructions; `alike`: one tool counted both, in one way."""
    fewest = min(before.in_a_pass, after.in_a_pass)
    if alike and fewest >= FEWEST_INSTRUCTIONS:
        return counted(job, before, after)
    why = f"fewer than {FEWEST_INSTRUCTIONS:,} instructions" if alike else "counted in another way"
    return Comparison(job, before.metric, before.middle, after.middle, "cannot tell", why)


def measured(pairs: Sequence[tuple[str, Figure, Figure]], decides: bool) -> list[Comparison]:
    """Of figures by a machine's clocks, judged together: Mann-Whitney over processes, Holm over all of them."""
    told = [_too_little(before, after) for _, before, after in pairs]
    able = [i for i, why in enumerate(told) if not why]
    p_values = [
        float(stats.mannwhitneyu(pairs[i][1].values, pairs[i][2].values, alternative="two-sided").pvalue) for i in able
    ]
    least = [_least_p(pairs[i][1], pairs[i][2]) * len(able) for i in able]
    adjusted = dict(zip(able, _holm(p_values), strict=True))
    reachable = dict(zip(able, least, strict=True))
    return [_measured_one(pair, told[i], adjusted.get(i), reachable.get(i), decides) for i, pair in enumerate(pairs)]


def on_two_machines(pairs: Sequence[tuple[str, Figure, Figure]]) -> list[Comparison]:
    """Of figures by the clocks of two machines nothing can be told."""
    return [
        Comparison(job, before.metric, before.middle, after.middle, "cannot tell", "another machine", decides=False)
        for job, before, after in pairs
    ]


def gone(job: str, before: Figure) -> Comparison:
    """Of a figure that only the first folder has."""
    return Comparison(job, before.metric, before.middle, None, "cannot tell", "not measured after")


def _measured_one(
    pair: tuple[str, Figure, Figure], why: str, p: float | None, reachable: float | None, decides: bool
) -> Comparison:
    job, before, after = pair
    old, new = before.middle, after.middle
    if p is None or reachable is None:
        return Comparison(job, before.metric, old, new, "cannot tell", why, decides=decides)
    low, high = _ratio_interval(before.values, after.values)
    if p < SIGNIFICANCE and abs(new / old - 1) >= SMALLEST_EFFECT:
        verdict: Verdict = "worse" if new > old else "better"
    elif reachable >= SIGNIFICANCE:
        verdict, why = "cannot tell", "too few processes for so many figures"
    elif max(abs(low - 1), abs(high - 1)) >= SMALLEST_EFFECT and p >= SIGNIFICANCE:
        verdict, why = "cannot tell", f"a change of {SMALLEST_EFFECT:.0%} would hide in the spread"
    else:
        verdict = "no difference"
    return Comparison(job, before.metric, old, new, verdict, why or f"p = {p:.2g}", low, high, decides)


def _too_little(before: Figure, after: Figure) -> str:
    """Why nothing can be told of a measured figure; empty if something can."""
    fewest = min(len(before.values), len(after.values))
    if fewest < FEWEST_PROCESSES:
        return f"{fewest} of {FEWEST_PROCESSES} processes"
    if before.is_time and min(before.in_a_pass, after.in_a_pass) < SHORTEST_S:
        return f"shorter than {SHORTEST_S * 1000:g} ms"
    return "" if min(before.values) > 0 else "nothing to compare with"


def _chance(share: float, n: int, m: int) -> tuple[float, float]:
    """What share of m answers is to be expected where n had this one, but for once in a hundred times on either side.

    The interval of prediction for a binomial count with Jeffreys' prior (Brown, Cai, DasGupta, 2001): the first count
    has a chance of its own.
    """
    if not n or not m:
        return share, share
    right = share * n
    low, high = stats.betabinom(m, right + 0.5, n - right + 0.5).ppf([SIGNIFICANCE, 1 - SIGNIFICANCE]) / m
    return float(low), float(high)


def _least_p(before: Figure, after: Figure) -> float:
    """The smallest two-sided p-value that so many values can have: all of one side are larger."""
    n, m = len(before.values), len(after.values)
    return 2 / math.comb(n + m, n)


def _holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted for having looked at all of them (Holm, 1979)."""
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def _ratio_interval(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """Of the ratio of the medians, by percentile bootstrap over processes; the same data give the same interval."""
    rng = np.random.default_rng(0)
    old, new = (
        np.median(rng.choice(np.array(values), (_RESAMPLINGS, len(values))), axis=1) for values in (before, after)
    )
    low, high = np.percentile(new / old, [2.5, 97.5])
    return float(low), float(high)
