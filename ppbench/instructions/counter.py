"""What counts the instructions of a process from within it. Standard library alone, as parties import it."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import ClassVar


class Counter(abc.ABC):
    """Made once in the process that it counts; of its threads all count, and nothing of the kernel."""

    name: ClassVar[str]
    """As `measure.instructions` has it."""
    slow_down: ClassVar[float] = 1.0
    """About how many times longer a process takes that is counted; if any, its seconds and memory are not its own."""
    surroundings: ClassVar[Mapping[str, str]] = {"PYTHONHASHSEED": "0"}
    """What the process's environment must have: hashes that change from run to run reorder what sets are walked in."""

    @classmethod
    @abc.abstractmethod
    def why_not(cls) -> str | None:
        """None if it can count here, else the reason in one line."""

    @classmethod
    def under(cls) -> Sequence[str]:
        """The program and its arguments that a process must be started with in order to be counted; none by default."""
        return ()

    @classmethod
    def versions(cls) -> Mapping[str, str]:
        """Of the programs that count, where they are installed."""
        return {}

    @abc.abstractmethod
    def start(self) -> None:
        """Count from here on."""

    @abc.abstractmethod
    def elapsed(self) -> int | None:
        """Instructions since `start`; None where part of what was executed cannot be counted."""
