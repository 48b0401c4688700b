"""What a scheme promises in terms of differential privacy, as it becomes records of a job."""

from __future__ import annotations

import dataclasses
import math

from ppbench.errors import ConfigError, in_range


@dataclasses.dataclass(frozen=True)
class Privacy:
    """(epsilon, delta)-differential privacy of one release: Dwork, McSherry, Nissim, Smith (TCC'06)."""

    epsilon: float
    """Finite: a scheme that promises nothing has no `Privacy`."""
    delta: float
    """0: pure differential privacy."""
    neighbouring: str
    """Which two inputs are not to be told apart, in words."""
    accountant: str
    """By which theorem or accountant epsilon and delta belong to the noise."""
    noise_scale: float
    """In units of the value released: b of the Laplace distribution, sigma of the Gaussian."""


def check_epsilon(option: str, value: float) -> None:
    """Refuse what is no epsilon: at most 0, NaN, or so extreme that double precision fails. Raises ConfigError."""
    in_range(option, value, 1e-6, 1e9)


def check_positive(option: str, value: float) -> None:
    """Refuse a scale or a sensitivity that is not finite and above 0; NaN is not. Raises ConfigError."""
    if not 0 < value < math.inf:
        raise ConfigError(f"{option}={value!r} must be finite and above 0")


def check_delta(option: str, value: float) -> None:
    """Refuse a delta that is no probability strictly between 0 and 1. Raises ConfigError."""
    if not 0 < value < 1:
        raise ConfigError(f"{option}={value!r} must be above 0 and below 1")
