"""ppbench measures what each way of keeping IoT data private costs and protects.

import ppbench
summary = ppbench.run("scheme=plaintext,obfnet", "dataset=mnist")   # a pandas DataFrame, one row per job
records = ppbench.load_records("results/...")                       # every measured value
answer = ppbench.recommend("results/...", device="cortex_m4", link="ble_5", samples_per_day=24)   # feasible, or why not
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ppbench.api import load_records, load_summary, recommend, run

__version__ = "0.4.0"
__all__ = ["__version__", "load_records", "load_summary", "recommend", "run"]


_FUNCTIONS = __all__[1:]


def __getattr__(name: str) -> Any:
    # A party on a device imports this package with numpy alone: what needs more is loaded when it is used.
    if name in _FUNCTIONS:
        from ppbench import api

        return getattr(api, name)
    raise AttributeError(f"module 'ppbench' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *_FUNCTIONS})
