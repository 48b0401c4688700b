"""Standard output and error as the world leaves them: closed, piped into `head`, or without a letter for micro."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import Any, TextIO

_PLAIN = {"µ": "u", "–": "-", "—": "-", "…": "...", "×": "x", "²": "2", "≥": ">=", "≤": "<="}  # noqa: RUF001


def make_tolerant() -> None:
    """Let nothing that is printed end the program.

    Who reads a pipe may stop reading, and the work goes on; a terminal that lacks a character shows one like it.
    """
    codecs.register_error("ppbench.plain", _plain)
    sys.stdout = _tolerant(sys.stdout, 1)
    sys.stderr = _tolerant(sys.stderr, 2)


class _Pipe(io.FileIO):
    """A descriptor that takes everything, also when nobody reads it any more; a full disk is told once."""

    _is_lost = False

    def write(self, data: Any, /) -> int:
        if self._is_lost:
            return len(data)
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(data)
        except OSError as error:
            self._is_lost = True
            if self.fileno() == 1:
                print(f"ppbench: standard output: {error.strerror}", file=sys.stderr)
            return len(data)


def _tolerant(stream: TextIO | None, descriptor: int) -> TextIO:
    if stream is None:
        # It was closed before we started: without this, the next file or socket would get its number.
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    else:
        stream.flush()
    raw = _Pipe(descriptor, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding if stream else "utf-8",
        errors="ppbench.plain",
        line_buffering=raw.isatty() or descriptor == 2,
    )


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(letter, "?") for letter in error.object[error.start : error.end]), error.end
