"""How much noise DP-SGD needs, and how much privacy its steps have cost: both by opacus's accountants.

Opacus imports torch, so it is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ppbench.errors import ConfigError

if TYPE_CHECKING:
    from opacus.accountants import IAccountant

ACCOUNTANTS: Mapping[str, str] = {
    "prv": "PRV accountant of opacus (Gopi, Lee, Wutschitz, NeurIPS'21)",
    "rdp": "RDP accountant of opacus (Mironov, Talwar, Zhang, 2019)",
}
"""Name in opacus -> what records call it. RDP gives an upper bound that is never too low; PRV's is tighter, so it
needs less noise for the same epsilon, and it is exact to a stated numerical error, which it adds."""

_TOLERANCE = 1e-3
"""How far below its target the epsilon of the noise found may lie."""


class Ledger:
    """Takes down every step of a training, and tells what all of them have cost together."""

    def __init__(self, accountant: str) -> None:
        from opacus.accountants import create_accountant

        self._accountant: IAccountant = create_accountant(accountant)
        self._options = _options(accountant)

    def add(self, noise_multiplier: float, sample_rate: float, steps: int = 1) -> None:
        """Some steps that were taken: of Poisson sampling, then Gaussian noise on a sum of clipped gradients."""
        for _ in range(steps):
            self._accountant.step(noise_multiplier=noise_multiplier, sample_rate=sample_rate)

    def epsilon(self, delta: float) -> float:
        """What the steps so far guarantee at this delta."""
        return float(self._accountant.get_epsilon(delta, **self._options))


def noise_multiplier(accountant: str, epsilon: float, delta: float, sample_rate: float, steps: int) -> float:
    """The least noise, in units of the clipping norm, with which all steps together are (epsilon, delta)-private.

    Raises ConfigError where the accountant finds none.
    """
    from opacus.accountants.utils import get_noise_multiplier

    try:
        found = get_noise_multiplier(
            target_epsilon=epsilon,
            target_delta=delta,
            sample_rate=sample_rate,
            steps=steps,
            accountant=accountant,
            epsilon_tolerance=min(_TOLERANCE, epsilon / 100),
            **_options(accountant),
        )
    except (ValueError, RuntimeError, ArithmeticError) as error:  # its ways to say that a budget is too small
        raise ConfigError(
            f"the {accountant} accountant finds no noise for scheme.epsilon={epsilon:g}, scheme.delta={delta:g} "
            f"over {steps} steps: {error}"
        ) from error
    return float(found)


def _options(accountant: str) -> dict[str, Any]:
    """Higher orders than opacus tries by default: at a small epsilon the best one lies among them."""
    if accountant != "rdp":
        return {}
    from opacus.accountants import RDPAccountant

    return {"alphas": [*RDPAccountant.DEFAULT_ALPHAS, *range(64, 256, 4), *range(256, 1025, 32)]}
