"""Conformance: what `check_estimator` is to scikit-learn, `check_scheme` is to the plugin contract.

from ppbench.testing import check_scheme
def test_my_scheme():
    check_scheme(MyScheme)      # AssertionError, listing every check that failed

`check_dataset` and `check_model` are the same for the other kinds of plugin, and `ppbench check` is all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ppbench.testing.result import CheckResult
    from ppbench.testing.suite import check_dataset, check_model, check_scheme

__all__ = ["CheckResult", "check_dataset", "check_model", "check_scheme"]


def __getattr__(name: str) -> Any:
    # A watched party imports `ppbench.testing.probe`, and it must cost no more than numpy.
    if name == "CheckResult":
        from ppbench.testing.result import CheckResult

        return CheckResult
    if name in __all__:
        from ppbench.testing import suite

        return getattr(suite, name)
    raise AttributeError(f"module 'ppbench.testing' has no attribute '{name}'")
