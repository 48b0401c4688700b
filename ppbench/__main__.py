"""`python -m ppbench` is the command `ppbench`."""

from __future__ import annotations

import sys

from ppbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
