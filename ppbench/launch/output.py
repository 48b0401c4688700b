"""What a party's process prints, kept up to a bound."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

MOST_BYTES = 1 << 20
"""Of what a process prints, this much is kept: half from its beginning, half from its end."""
_HALF = MOST_BYTES // 2
_CHUNK = 1 << 16
_SETTLES_S = 5.0


class Output:
    """Writes what comes through a pipe to a file: all of it, or its first and last part and how much is between.

    A pipe that a thread drains holds neither printer up nor fills the disk, and whoever reads the file reads nothing
    of what others print; a limit on the file's size would kill the process that reaches it.
    """

    def __init__(self, path: Path) -> None:
        """What an earlier process printed there is gone."""
        self.path = path
        path.write_bytes(b"")
        self._reading, self._writing = os.pipe()
        self._last = bytearray()
        self._drains = threading.Thread(target=self._drain, daemon=True)
        self._drains.start()

    @contextlib.contextmanager
    def end(self) -> Iterator[int]:
        """Inside, the descriptor that a child is to print to; what it has inherited is its own."""
        try:
            yield self._writing
        finally:
            os.close(self._writing)

    def settle(self) -> None:
        """Wait until all is written that was printed by processes that have ended, if nobody else may yet print."""
        self._drains.join(_SETTLES_S)

    def _drain(self) -> None:
        n_first = n_later = 0
        with open(self.path, "ab") as file, open(self._reading, "rb", buffering=0) as printed:
            while chunk := printed.read(_CHUNK):
                room = _HALF - n_first
                file.write(chunk[:room])
                file.flush()
                n_first += len(chunk[:room])
                n_later += len(chunk[room:])
                self._last += chunk[room:]
                if len(self._last) > 2 * _HALF:
                    del self._last[:-_HALF]
            if n_later > _HALF:
                file.write(f"\n[{n_later - _HALF:,} bytes that were printed here are not kept]\n".encode())
            file.write(self._last[-_HALF:])
