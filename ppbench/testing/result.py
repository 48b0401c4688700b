"""How one check ended."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """One named check on one scheme."""

    name: str
    passed: bool
    """False also where the check was skipped."""
    skipped: bool
    detail: str
    """Why it failed or was skipped, one line; empty if it passed."""
    seconds: float
    """Wall time; the first check that looks at a run is charged for it."""

    @property
    def failed(self) -> bool:
        """Neither passed nor skipped."""
        return not self.passed and not self.skipped


class CheckFailed(Exception):
    """The scheme breaks what the check guarantees."""


class CheckSkipped(Exception):
    """The check does not apply to the scheme, or what it looks at never came to be."""


def require(condition: object, detail: str) -> None:
    """Fail the check with this detail unless the condition holds."""
    if not condition:
        raise CheckFailed(detail)


def skip_if(condition: object, reason: str) -> None:
    """Skip the check for this reason if the condition holds."""
    if condition:
        raise CheckSkipped(reason)
