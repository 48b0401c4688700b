"""The median mechanism: Roth & Roughgarden, STOC'10 (the paper's [39]), small enough to be run.

It keeps the set of all databases that agree with what has been answered so far. A query is easy if most of them give
about the true answer: then their median is the answer, which costs nothing, because the set is made from public
answers alone. A query is hard otherwise: then it is answered from the data, with noise, and the databases that
disagree leave the set. Which queries are hard is found out with noise, too, and costs. Correlated queries are easy
after a few of them, so that the noise is that of the few hard ones.

What differs from the publication, where a set of all databases of size 160000 ln(k) ln(1/accuracy) / accuracy^2 and
constants to match make the mechanism one of theory:

- The set is that of all fractional databases over the cells of a small table, as in the publication's efficient
  variant, and a sample of it is kept by a random walk (hit-and-run), not by a walk on a grid.
- Easy and hard are told apart by the sparse vector technique (Dwork & Roth, 2014, algorithm 3), which came out of this
  publication's test against random thresholds: the test of all queries costs a fixed budget, and the whole is epsilon-
  private with no delta.
- The number of hard queries that are answered from the data is an option. After the last of them the publication gives
  up; here all further queries are answered by the median, with no promise of accuracy.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ppbench.bundle import Array
from ppbench.privacy.mechanisms import Laplace

_EASY = 0.75
"""The publication's threshold: 1 is when all databases agree with the data, 0 when none comes near."""
_TEST_SHARE = 0.5
"""Of epsilon, for telling easy from hard."""
_TEST_NOISE = 0.16
"""Scale of the noise on the score, which lies between 0 and 1: it decides what counts as near."""
_KEPT_WITHIN = 1.5
"""Scales of the noise on a hard answer within which a database may disagree with it."""
_N_DATABASES = 100
_WALK_STEPS = 100
"""After each hard query."""
_PULLS = 30
_EDGE = 0.02
"""Share of the allowed interval that a pulled database keeps from its ends, so that it can walk."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """How epsilon is spent, and what follows from it."""

    epsilon: float
    n_hard: int

    @property
    def answer_scale(self) -> float:
        """Of the noise on each hard answer, in records."""
        return self.n_hard / (self.epsilon * (1 - _TEST_SHARE))

    @property
    def near(self) -> float:
        """The error, in records, at which a database's score has fallen to 1 / e."""
        return 4 * self.n_hard / (self.epsilon * _TEST_SHARE * _TEST_NOISE)


def answered(histogram: Array, queries: Array, budget: Budget, random: np.random.Generator) -> tuple[Array, Array]:
    """(cells,) counts and (k, cells) bool -> (k,) float32 answers, and (k,) bool: which were answered from the data.

    epsilon-private where one record is replaced by another; how many there are is public. `random` moves the
    databases and sees public answers alone; noise comes from the operating system.
    """
    n_records = int(histogram.sum())
    databases = Databases(len(histogram), random)
    answers = np.empty(len(queries), np.float32)
    from_data = np.zeros(len(queries), bool)
    # The score changes by at most 1 / near if one record does: that much noise, twice, by the sparse vector technique.
    on_score, on_threshold = Laplace(_TEST_NOISE), Laplace(_TEST_NOISE / 2)
    threshold = _EASY + float(on_threshold.noise(()))
    for i, query in enumerate(queries):
        guesses = n_records * databases.shares(query)
        count = float(histogram[query].sum())
        if from_data.sum() < budget.n_hard:
            score = np.exp(-np.abs(guesses - count) / budget.near).mean()
            if score + float(on_score.noise(())) < threshold:
                answers[i] = Laplace(budget.answer_scale).release(np.array(count))
                from_data[i] = True
                databases.keep(query, answers[i] / n_records, _KEPT_WITHIN * budget.answer_scale / n_records)
                threshold = _EASY + float(on_threshold.noise(()))
                continue
        answers[i] = np.median(guesses)
    return answers, from_data


class Databases:
    """A sample of the fractional databases, (m, cells) shares that add up to 1, which agree with all hard answers."""

    def __init__(self, n_cells: int, random: np.random.Generator) -> None:
        self._random = random
        self._members = random.dirichlet(np.ones(n_cells), _N_DATABASES)
        self._queries = np.empty((0, n_cells))
        self._low, self._high = np.empty(0), np.empty(0)

    def shares(self, query: Array) -> Array:
        """(cells,) bool -> (m,): what share of its records each database has there."""
        found: Array = self._members @ query
        return found

    def keep(self, query: Array, share: float, within: float) -> None:
        """From now on only databases with about this share; those that have another are moved, and then all walk."""
        self._queries = np.vstack([self._queries, query])
        self._low = np.append(self._low, share - within)
        self._high = np.append(self._high, share + within)
        self._pull()
        for _ in range(_WALK_STEPS):
            self._walk()

    def _pull(self) -> None:
        """Scale the cells in and outside of each query until all agree, as in iterative proportional fitting.

        Noisy answers may contradict one another: then they do not come to agree, and stay where the last one left them.
        """
        for _ in range(_PULLS):
            moved = False
            for query, low, high in zip(
                self._queries, np.maximum(self._low, 0), np.minimum(self._high, 1), strict=True
            ):
                edge = _EDGE * max(high - low, 0.0)
                share = np.clip(self._members @ query, 1e-12, 1 - 1e-12)
                wanted = np.clip(share, low + edge, max(high - edge, low + edge))
                if (np.abs(wanted - share) > 1e-12).any():
                    moved = True
                    inside, outside = (wanted / share)[:, np.newaxis], ((1 - wanted) / (1 - share))[:, np.newaxis]
                    self._members = self._members * np.where(query > 0, inside, outside)
                    self._members /= self._members.sum(axis=1, keepdims=True)
            if not moved:
                return

    def _walk(self) -> None:
        """One step of hit-and-run: a random direction, and a uniform place on the chord along it inside the set."""
        direction = self._random.normal(size=self._members.shape)
        direction -= direction.mean(axis=1, keepdims=True)
        shares, slopes = self._members @ self._queries.T, direction @ self._queries.T
        with np.errstate(divide="ignore", invalid="ignore"):
            to_zero = -self._members / direction
            to_low, to_high = (self._low - shares) / slopes, (self._high - shares) / slopes
        ahead = np.where(direction < 0, to_zero, np.inf).min(axis=1)
        back = np.where(direction > 0, to_zero, -np.inf).max(axis=1)
        ahead = np.minimum(ahead, np.maximum(to_low, to_high).min(axis=1))
        back = np.maximum(back, np.minimum(to_low, to_high).max(axis=1))
        length = np.where(ahead > back, ahead - back, 0.0)  # where answers contradict one another there is no chord
        step = np.where(length > 0, back + length * self._random.random(len(length)), 0.0)
        self._members = np.maximum(self._members + step[:, np.newaxis] * direction, 0.0)
