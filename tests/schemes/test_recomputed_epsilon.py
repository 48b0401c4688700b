"""Epsilon of jobs, counted again by Google's dp-accounting from the noise that was recorded."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ppbench.records import JobRecord
from ppbench.scheme import Scheme
from schemes.additive_noise import AdditiveNoise
from schemes.dp_publishing import DpPublishing
from schemes.dp_sgd import DpSgd
from schemes.dp_sgd.accounting import Ledger
from schemes.local_dp_training import LocalDpTraining
from tests.helpers.measured import measure, value

dp_accounting = pytest.importorskip("dp_accounting")

PIXELS = 64
"""Of an image of the small digits, each in [0, 1]."""
N_QUERIES = 20
ALMOST_PURE = 1e-12
"""A delta for Laplace noise: a privacy loss distribution leaves out a tail, so it has no epsilon at 0."""


def spent(event: Any, times: int, delta: float, accountant: str = "pld") -> float:
    """Epsilon of an event that happens so often, where a record is replaced by one that contributes nothing."""
    from dp_accounting.pld import PLDAccountant
    from dp_accounting.rdp import RdpAccountant

    kind = {"pld": PLDAccountant, "rdp": RdpAccountant}[accountant]
    made = kind(neighboring_relation=dp_accounting.NeighboringRelation.REPLACE_SPECIAL)
    made.compose(event, times)
    return float(made.get_epsilon(delta))


def of_training(record: JobRecord) -> float:
    """From sampling rate, noise multiplier and steps."""
    rate, multiplier, steps = (
        value(record, "job", f"published_{name}") for name in ("sample_rate", "noise_multiplier", "steps")
    )
    assert value(record, "job", "published_epsilon") == pytest.approx(value(record, "job", "epsilon"), rel=1e-9)
    event = dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(multiplier))
    return spent(event, int(steps), value(record, "job", "delta"))


def of_gaussian_pixels(record: JobRecord) -> float:
    """All pixels of an image may differ by 1."""
    sigma, delta = value(record, "job", "noise_scale"), value(record, "job", "delta")
    return spent(dp_accounting.GaussianDpEvent(sigma / math.sqrt(PIXELS)), 1, delta)


def of_laplace_pixels(record: JobRecord) -> float:
    """The same, in L1."""
    return spent(dp_accounting.LaplaceDpEvent(value(record, "job", "noise_scale") / PIXELS), 1, ALMOST_PURE)


def of_queries(record: JobRecord) -> float:
    """A replaced record changes each count by 1; its noise is that of so many mechanisms one after the other."""
    return spent(dp_accounting.LaplaceDpEvent(value(record, "job", "noise_scale") / N_QUERIES), 1, ALMOST_PURE)


@pytest.mark.parametrize(
    ("scheme", "recomputed", "slack"),
    [
        # The PRV accountant adds its numerical error, 0.01, to what it finds.
        (DpSgd(epochs=4, sample_rate=1 / 16), of_training, 0.011),
        (AdditiveNoise(epsilon=20.0), of_laplace_pixels, 1e-6),
        (AdditiveNoise(mechanism="gaussian", epsilon=20.0), of_gaussian_pixels, 1e-6),
        (LocalDpTraining(epsilon=20.0), of_laplace_pixels, 1e-6),
        (DpPublishing(n_queries=N_QUERIES, epsilon=2.0), of_queries, 1e-6),
    ],
    ids=["dp_sgd", "laplace", "gaussian", "local_dp_training", "dp_publishing"],
)
def test_a_job_states_the_epsilon_that_dp_accounting_counts(
    scheme: Scheme, recomputed: Callable[[JobRecord], float], slack: float, tmp_path: Path
) -> None:
    record = measure(scheme, tmp_path, n_samples=2, batch_size=2)
    stated = value(record, "job", "epsilon")
    assert recomputed(record) <= stated * (1 + 1e-6) <= recomputed(record) + slack + 2e-6 * stated


@pytest.mark.parametrize(("sigma", "rate", "steps"), [(0.7, 1 / 64, 640), (1.1, 1 / 16, 100), (2.0, 1 / 64, 2560)])
def test_opacus_and_dp_accounting_agree_on_dp_sgd(sigma: float, rate: float, steps: int) -> None:
    event = dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(sigma))
    counted = {}
    for name in ("prv", "rdp"):
        ledger = Ledger(name)
        ledger.add(sigma, rate, steps)
        counted[name] = ledger.epsilon(1e-5)
    assert spent(event, steps, 1e-5) <= counted["prv"] <= spent(event, steps, 1e-5) + 0.011
    # Opacus tries other orders.
    assert counted["rdp"] == pytest.approx(spent(event, steps, 1e-5, "rdp"), rel=1e-3)
