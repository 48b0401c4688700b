"""How one check ended."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """One named check on one plugin."""

    name: str
    passed: bool
    """False also where the check was skipped."""
    skipped: bool
    detail: str
    """Why it failed or was skipped, one line; empty if it passed."""
    seconds: float
    """Wall time; the first check that looks at a run is charged for it."""
    evidence: str = ""
    """Of a failed check, some lines: where in the plugin's own code it came about, and the log of the party."""

    @property
    def failed(self) -> bool:
        """Neither passed nor skipped."""
        return not self.passed and not self.skipped


class CheckFailed(Exception):
    """The plugin breaks what the check guarantees."""

    def __init__(self, detail: str, evidence: str = "") -> None:
        super().__init__(detail)
        self.evidence = evidence


class CheckSkipped(Exception):
    """The check does not apply to the plugin, or what it looks at never came to be."""


def require(condition: object, detail: str, evidence: str = "") -> None:
    """Fail the check with this detail, and what shows how it came about, unless the condition holds."""
    if not condition:
        raise CheckFailed(detail, evidence)


def skip_if(condition: object, reason: str) -> None:
    """Skip the check for this reason if the condition holds."""
    if condition:
        raise CheckSkipped(reason)
