"""The errors ppbench raises on purpose; each message is one line that says what, where and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PpbenchError(Exception):
    """Anything a user can mend; shown as one line, without a traceback."""


class ConfigError(PpbenchError):
    """An option, a name or a combination that cannot run."""


class UnavailableError(PpbenchError):
    """A plugin that cannot run here, with the reason and the line that installs what is missing."""


class DataError(PpbenchError):
    """A data set that cannot be fetched, or whose bytes are not the pinned ones."""


class ProtocolError(PpbenchError):
    """Bytes on a channel that are not a message, or not the message the receiver waits for."""


class PeerGone(PpbenchError):
    """The other end of a channel closed it, died, or never came."""


class PluginFault(PpbenchError):
    """What a plugin raised that nobody foresaw; its cause has the traceback."""


_LONGEST_LINE = 1000


def one_line(text: str) -> str:
    """A text that anybody may have written, as a line that fits on a screen and into any file."""
    line = " ".join(text.encode(errors="backslashreplace").decode().split())
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} ..."


def message(error: BaseException) -> str:
    """What an error says; somebody else's may raise another when it is asked."""
    try:
        return str(error)
    except (Exception, SystemExit) as another:
        return f"what it says cannot be read ({type(another).__name__})"


def told(error: BaseException) -> str:
    """What somebody else's code raised, in one line."""
    return one_line(f"{type(error).__name__}: {message(error)}").removesuffix(":")


def unknown(what: str, name: str, known: Iterable[str]) -> ConfigError:
    """A wrong name, with the nearest right one and all that are allowed."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return ConfigError(f"no {what} named '{name}'{hint} (known: {', '.join(names) or 'none'})")


def choose(option: str, value: str, allowed: Iterable[str]) -> None:
    """Refuse an option's value that is not among the allowed ones."""
    names = tuple(allowed)
    if value not in names:
        raise ConfigError(f"{option}={value!r} is not one of {', '.join(names)}")


def in_range(option: str, value: float, low: float, high: float = float("inf")) -> None:
    """Refuse an option's number outside [low, high]; NaN is outside."""
    if not low <= value <= high:
        # A whole number in full: 2147483647, not 2.14748e+09.
        highest = f"{high:g}" if isinstance(high, float) else str(high)
        bound = f"at least {low:g}" if high == float("inf") else f"from {low:g} to {highest}"
        raise ConfigError(f"{option}={value!r} must be {bound}")
