"""How wide the place is where tables are read."""

from __future__ import annotations

import math
import shutil
import sys


def terminal_width() -> float:
    """Of standard output, in letters; infinite if it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else math.inf
