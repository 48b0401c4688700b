"""Ends the sessions that another process started, once that is dead: the program behind `process.start_session`.

It reads `+PID` for a session that begins and `-PID` for one that has ended, a line each. Standard input ends with the
process that writes there, whatever ended it; who still leads a session then is killed with all whom it started. It
runs without ppbench, by its path, so that it is there at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys


def main() -> None:
    """Keep account until standard input ends, then end what is left."""
    sessions: set[int] = set()
    for line in sys.stdin:
        (sessions.add if line.startswith("+") else sessions.discard)(int(line[1:]))
    for session in sessions:
        with contextlib.suppress(OSError):
            os.killpg(session, signal.SIGKILL)


if __name__ == "__main__":
    main()
