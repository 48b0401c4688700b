"""How long work tells how far it is, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A listener to progress."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """`done` of `total` steps of `what` (such as "training lenet") are finished."""


def silent(what: str, done: int, total: int) -> None:
    """A listener that hears nothing."""
