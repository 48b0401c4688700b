"""The noise itself, and the theorems around it. Chance is the operating system's: each statistical test here fails
by bad luck less than once in ten million runs.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]
from scipy.special import log_ndtr  # type: ignore[import-untyped]

from ppbench.errors import ConfigError
from ppbench.privacy.analytic_gaussian import gaussian_delta, gaussian_epsilon, gaussian_scale
from ppbench.privacy.audit import epsilon_lower_bound
from ppbench.privacy.chance import os_words, seeded_words
from ppbench.privacy.mechanisms import MECHANISMS, Gaussian, Laplace, Mechanism
from ppbench.privacy.sensitivity import NORMS, Norm, clipped, cube_sensitivity
from schemes.additive_noise.perturbation import Perturbation
from tests.helpers.rare import RARE

SIX_SIGMA = 6.0
DISTRIBUTIONS = {Laplace: stats.laplace, Gaussian: stats.norm}
SCALES = [Laplace(0.784), Gaussian(0.3)]

epsilons = st.floats(1e-3, 1e4)
deltas = st.floats(1e-10, 0.9)
sensitivities = st.floats(1e-3, 1e3)


def p_value(noise: np.ndarray, mechanism: Mechanism) -> float:
    distribution = DISTRIBUTIONS[type(mechanism)](scale=mechanism.scale)
    return float(stats.kstest(noise.ravel(), distribution.cdf).pvalue)


@pytest.mark.parametrize("mechanism", SCALES, ids=lambda m: type(m).__name__)
def test_the_sampler_has_its_distribution(mechanism: Mechanism) -> None:
    noise = mechanism.noise((500_001,))
    assert noise.shape == (500_001,)
    assert p_value(noise, mechanism) > RARE
    assert noise.std() == pytest.approx(mechanism.scale * mechanism.deviation, rel=0.02)


@pytest.mark.parametrize("mechanism", SCALES, ids=lambda m: type(m).__name__)
def test_the_tails_are_there(mechanism: Mechanism) -> None:
    """KS looks at the middle; privacy is lost in the tails."""
    n = 1_000_000
    size = np.abs(mechanism.noise((n,))) / mechanism.scale
    for reach in (2.0, 3.0, 4.0):
        expected = 2 * DISTRIBUTIONS[type(mechanism)].sf(reach) * n
        assert abs((size > reach).sum() - expected) < SIX_SIGMA * math.sqrt(expected) + 10


@pytest.mark.parametrize("mechanism", SCALES, ids=lambda m: type(m).__name__)
def test_the_test_finds_noise_of_another_scale(mechanism: Mechanism) -> None:
    assert p_value(mechanism.noise((500_000,)) * 1.05, mechanism) < RARE


@pytest.mark.parametrize("mechanism", SCALES, ids=lambda m: type(m).__name__)
def test_values_samples_and_calls_are_independent(mechanism: Mechanism) -> None:
    rows, columns = 1000, 784
    one, other = mechanism.noise((rows, columns)), mechanism.noise((rows, columns))
    flat = one.ravel()
    half_chunk = 4096  # the two numbers that Box and Muller make of a pair stand so far apart
    pairs = [(one, other), (flat[1:], flat[:-1]), (one[1:], one[:-1]), (flat[half_chunk:], flat[:-half_chunk])]
    for function in (np.asarray, np.abs, np.sign):
        for a, b in pairs:
            correlation = np.corrcoef(function(a).ravel(), function(b).ravel())[0, 1]
            assert abs(correlation) < SIX_SIGMA / math.sqrt(a.size)


@pytest.mark.parametrize("scale", [1e-4, 0.3, 784.0])
@pytest.mark.parametrize("kind", MECHANISMS.values(), ids=MECHANISMS)
def test_what_is_released_lies_on_a_grid_whatever_the_sample(kind: type[Mechanism], scale: float) -> None:
    """The low-order bits, by which Mironov tells samples apart, are not there."""
    mechanism = kind(scale)
    for value in (0.0, 1 / 3, 0.1, 1.0):
        values = np.full((50, 64), value, np.float32)
        released = mechanism.release(values, seeded_words(np.random.default_rng(3)))
        assert released.dtype == np.float32
        points = released.astype(np.float64) / mechanism.step
        assert np.array_equal(points, np.rint(points))
        unrounded = values + mechanism.noise(values.shape, seeded_words(np.random.default_rng(3)))
        assert np.abs(released - unrounded).max() <= mechanism.step * 0.5001
    assert mechanism.step <= max(scale / 1024, 2**-20)


def test_secret_noise_is_the_operating_systems() -> None:
    assert not np.array_equal(os_words(4), os_words(4))
    assert not np.array_equal(Laplace(1.0).noise((4,)), Laplace(1.0).noise((4,)))
    np.random.seed(0)
    first = Laplace(1.0).noise((4,))
    np.random.seed(0)
    assert not np.array_equal(first, Laplace(1.0).noise((4,)))


@pytest.mark.parametrize("mechanism", SCALES, ids=lambda m: type(m).__name__)
def test_noise_for_training_is_the_same_each_time(mechanism: Mechanism) -> None:
    first, second = (mechanism.noise((3, 5), seeded_words(np.random.default_rng(7))) for _ in range(2))
    assert np.array_equal(first, second)


def released_scalars(mechanism: Mechanism, value: float, n: int, encoding: str) -> np.ndarray:
    """A data set of samples with one value each, as a participant sends them."""
    perturbation = Perturbation(mechanism, "l1", 0.0, encoding)
    return perturbation.unpacked(perturbation.packed(np.full((n, 1), value, np.float32))).ravel()


def audited(mechanism: Mechanism, delta: float, encoding: str) -> float:
    n = 200_000 if delta == 0 else 4_000_000
    one, other = (released_scalars(mechanism, value, n, encoding) for value in (0.0, 1.0))
    return epsilon_lower_bound(one, other, delta, confidence=1 - RARE)


@pytest.mark.parametrize("encoding", ["float32", "uint8"])
@pytest.mark.parametrize("epsilon", [0.5, 1.0, 2.0])
def test_an_attack_on_laplace_noise_meets_its_epsilon_and_no_more(epsilon: float, encoding: str) -> None:
    mechanism = Laplace.calibrated(epsilon, 0.0, cube_sensitivity("l1", 1))
    assert 0.8 * epsilon < audited(mechanism, 0.0, encoding) <= epsilon


@pytest.mark.parametrize("epsilon", [1.0, 2.0])
def test_an_attack_on_gaussian_noise_does_not_exceed_its_epsilon(epsilon: float) -> None:
    mechanism = Gaussian.calibrated(epsilon, 1e-5, cube_sensitivity("l2", 1))
    assert 0.4 * epsilon < audited(mechanism, 1e-5, "float32") <= epsilon


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 2.0])
def test_an_attack_catches_half_the_laplace_noise(epsilon: float) -> None:
    mechanism = Laplace.calibrated(epsilon, 0.0, 1.0)
    assert audited(Laplace(mechanism.scale / 2), 0.0, "float32") > 1.5 * epsilon


@pytest.mark.parametrize("epsilon", [1.0, 2.0])
def test_an_attack_catches_half_the_gaussian_noise(epsilon: float) -> None:
    mechanism = Gaussian.calibrated(epsilon, 1e-5, 1.0)
    assert audited(Gaussian(mechanism.scale / 2), 1e-5, "float32") > 1.2 * epsilon


def test_an_attack_says_nothing_where_there_is_nothing_to_say() -> None:
    same = np.zeros(1000)
    assert epsilon_lower_bound(same, same) == 0
    assert epsilon_lower_bound(np.zeros(10), np.ones(10), delta=0.5) < math.inf


def test_the_classical_gaussian_is_no_privacy_at_large_epsilon() -> None:
    """The figures of DESIGN.md, section 7; and (1, 1e-5) as computed with 60 digits."""
    classical = 28 * math.sqrt(2 * math.log(1.25 / 1e-5)) / 1000
    assert classical == pytest.approx(0.136, abs=5e-4)
    assert gaussian_delta(1000, classical, 28) == pytest.approx(1)
    assert gaussian_scale(1000, 1e-5, 28) == pytest.approx(0.688, abs=5e-4)
    assert gaussian_scale(1, 1e-5, 1) == pytest.approx(3.730631634815964, rel=1e-9)


@given(epsilons, deltas, sensitivities)
def test_the_gaussian_scale_is_the_smallest_that_suffices(epsilon: float, delta: float, sensitivity: float) -> None:
    scale = gaussian_scale(epsilon, delta, sensitivity)
    assert gaussian_delta(epsilon, scale, sensitivity) <= delta
    assert gaussian_delta(epsilon, scale * (1 - 1e-6), sensitivity) > delta
    assert gaussian_delta(epsilon, scale * 2, sensitivity) <= delta


@given(epsilons, epsilons, deltas)
def test_more_epsilon_needs_less_gaussian_noise(one: float, other: float, delta: float) -> None:
    low, high = sorted((one, other))
    assert gaussian_scale(high, delta, 1.0) <= gaussian_scale(low, delta, 1.0) * (1 + 1e-9)


@given(epsilons, deltas, sensitivities)
def test_the_gaussian_epsilon_is_that_of_its_scale(epsilon: float, delta: float, sensitivity: float) -> None:
    scale = gaussian_scale(epsilon, delta, sensitivity)
    assert gaussian_epsilon(scale, delta, sensitivity) == pytest.approx(epsilon, rel=1e-5)


@given(st.floats(1e-3, 500), st.floats(0.01, 100))
def test_the_gaussian_delta_is_that_of_theorem_8(epsilon: float, ratio: float) -> None:
    """Against the formula as it is printed, with scipy's logarithm of the normal distribution."""
    a, t = ratio / 2, epsilon / ratio
    printed = stats.norm.cdf(a - t) - math.exp(epsilon + log_ndtr(-a - t))
    assert gaussian_delta(epsilon, 1.0, ratio) == pytest.approx(printed, rel=1e-6, abs=1e-12)


def test_enough_gaussian_noise_has_no_epsilon() -> None:
    assert gaussian_epsilon(1e6, 1e-5, 1.0) == 0


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("clip", [0.0, 0.5, 2.0, 1e6])
@given(data=st.data(), dimension=st.integers(1, 12))
def test_no_two_samples_are_further_apart_than_the_sensitivity(
    norm: Norm, clip: float, data: st.DataObject, dimension: int
) -> None:
    values = st.lists(st.floats(0, 1), min_size=dimension, max_size=dimension)
    pair = np.array([data.draw(values), data.draw(values)])
    one, other = clipped(pair, norm, clip) if clip else pair
    assert np.abs(one - other).sum() <= cube_sensitivity("l1", dimension, norm, clip) * (1 + 1e-12)
    assert np.linalg.norm(one - other) <= cube_sensitivity("l2", dimension, norm, clip) * (1 + 1e-12)


def test_sensitivities_are_attained() -> None:
    """So no smaller number would do."""
    zeros, ones = np.zeros((1, 8)), np.ones((1, 8))
    left = np.array([[1.0] * 4 + [0.0] * 4])
    assert cube_sensitivity("l1", 8) == np.abs(ones - zeros).sum()
    assert cube_sensitivity("l2", 8) == np.linalg.norm(ones - zeros)
    for norm in NORMS:
        one, other = clipped(left, norm, 1.5), clipped(ones - left, norm, 1.5)
        found = np.linalg.norm(one - other, ord=1 if norm == "l1" else 2, axis=1)[0]
        assert found == pytest.approx(cube_sensitivity(norm, 8, norm, 1.5))
    assert cube_sensitivity("l1", 784, "l1", 100) == 200
    assert cube_sensitivity("l2", 784, "l2", 10) == pytest.approx(14.142, abs=1e-3)
    assert cube_sensitivity("l1", 784, "l1", 1000) == 784
    assert cube_sensitivity("l2", 784, "l2", 1000) == 28


def test_clipping_leaves_small_samples_as_they_are() -> None:
    samples = np.array([[0.0, 0.0], [0.3, 0.4], [0.6, 0.8]], np.float32)
    expected = np.array([[0.0, 0.0], [0.3, 0.4], [0.3, 0.4]])
    assert np.allclose(clipped(samples, "l2", 0.5), expected)
    assert np.allclose(clipped(samples, "l1", 0.7), expected)


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_epsilon_is_refused(epsilon: float) -> None:
    for kind in MECHANISMS.values():
        with pytest.raises(ConfigError, match=r"epsilon=\S+ must be from 1e-06 to 1e\+09"):
            kind.calibrated(epsilon, 1e-5, 1.0)


@pytest.mark.parametrize("delta", [0.0, 1.0, -0.1, math.nan])
def test_what_is_no_delta_is_refused(delta: float) -> None:
    with pytest.raises(ConfigError, match=r"delta=\S+ must be above 0 and below 1"):
        Gaussian.calibrated(1.0, delta, 1.0)
    with pytest.raises(ConfigError, match=r"delta=\S+ must be above 0 and below 1"):
        gaussian_epsilon(1.0, delta, 1.0)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_scale_is_refused(scale: float) -> None:
    for kind in MECHANISMS.values():
        with pytest.raises(ConfigError, match=r"noise scale=\S+ must be finite and above 0"):
            kind(scale)
