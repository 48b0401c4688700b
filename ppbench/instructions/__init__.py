"""How many instructions a party's process executes: a cost that a busy machine does not change."""

from __future__ import annotations

from collections.abc import Mapping

from ppbench.instructions.callgrind import Callgrind
from ppbench.instructions.counter import Counter
from ppbench.instructions.perf import Perf

NONE = "none"
"""What `measure.instructions` is where nobody counts."""
COUNTERS: Mapping[str, type[Counter]] = {counter.name: counter for counter in (Perf, Callgrind)}
"""Those that `measure.instructions` can name."""
