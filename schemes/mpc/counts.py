"""What an engine says of itself."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Counts:
    """What an engine says that one party did."""

    n_rounds: int = 0
    n_bytes: int = 0
    """Sent and received."""
