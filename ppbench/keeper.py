"""Ends the sessions and removes the folders of another process, once that is dead: the program behind
`process.start_session` and `process.temporary_folder`.

It reads `+PID` for a session that begins and `-PID` for one that has ended, `+PATH` and `-PATH` for a folder, a line
each. Standard input ends with the process that writes there, whatever ended it; who still leads a session then is
killed with all whom it started. It runs without ppbench, by its path, so that it is there at once.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time

_N_TRIES = 50
_PAUSE_S = 0.1


def main() -> None:
    """Keep account until standard input ends, then end and remove what is left."""
    kept: set[str] = set()
    for line in sys.stdin:
        (kept.add if line.startswith("+") else kept.discard)(line[1:].rstrip("\n"))
    sessions = {one for one in kept if one.isdecimal()}
    for session in sessions:
        with contextlib.suppress(OSError):
            os.killpg(int(session), signal.SIGKILL)
    for folder in kept - sessions:
        _remove(folder)


def _remove(folder: str) -> None:
    for _ in range(_N_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return
        # Who has just been killed may have made a file meanwhile.
        time.sleep(_PAUSE_S)


if __name__ == "__main__":
    main()
