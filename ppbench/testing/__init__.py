"""Conformance: what `check_estimator` is to scikit-learn, `check_scheme` is to the plugin contract.

from ppbench.testing import check_scheme
def test_my_scheme():
    check_scheme(MyScheme)      # AssertionError, listing every check that failed
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ppbench.testing.result import CheckResult
    from ppbench.testing.suite import check_scheme, print_check

__all__ = ["CheckResult", "check_scheme", "print_check"]


def __getattr__(name: str) -> Any:
    # A watched party imports `ppbench.testing.probe`, and it must cost no more than numpy.
    if name == "CheckResult":
        from ppbench.testing.result import CheckResult

        return CheckResult
    if name in ("check_scheme", "print_check"):
        from ppbench.testing import suite

        return getattr(suite, name)
    raise AttributeError(f"module 'ppbench.testing' has no attribute '{name}'")
