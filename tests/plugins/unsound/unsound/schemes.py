"""Plugins that can be imported, and raise when they are asked something."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn

from ppbench.bundle import Tree
from ppbench.data.dataset import Dataset, DatasetSource
from ppbench.privacy.guarantee import Privacy
from ppbench.scheme import Scheme, Task, TaskFacts
from tests.broken.sound import Sound


def _raise() -> NoReturn:
    raise ZeroDivisionError("a plugin may\nraise anything")


@dataclasses.dataclass(frozen=True)
class Untitled(Scheme):
    name: ClassVar[str] = "broken_title"
    card = Sound.card
    roles = Sound.roles


@dataclasses.dataclass(frozen=True)
class WithoutDefault(Sound):
    name: ClassVar[str] = "broken_option"

    width: int = dataclasses.field(kw_only=True)


@dataclasses.dataclass(frozen=True)
class NamedAsAMethod(Sound):
    name: ClassVar[str] = "broken_name"

    options: int = 3  # type: ignore[assignment]


@dataclasses.dataclass(frozen=True)
class TakesAnything(Sound):
    name: ClassVar[str] = "broken_type"

    width: Any = 3


@dataclasses.dataclass(frozen=True)
class CannotSayWhy(Sound):
    name: ClassVar[str] = "broken_why_not"

    @classmethod
    def why_not(cls) -> str | None:
        _raise()


@dataclasses.dataclass(frozen=True)
class CannotSay(Sound):
    name: ClassVar[str] = "broken_unavailable"

    def unavailable(self) -> str | None:
        _raise()


@dataclasses.dataclass(frozen=True)
class FailsToCheck(Sound):
    name: ClassVar[str] = "broken_check"

    def check(self, task: Task) -> None:
        _raise()


@dataclasses.dataclass(frozen=True)
class FailsToPrepare(Sound):
    name: ClassVar[str] = "broken_prepare"

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        _raise()


@dataclasses.dataclass(frozen=True)
class FailsToPromise(Sound):
    name: ClassVar[str] = "broken_privacy"

    def privacy(self, facts: TaskFacts) -> Privacy | None:
        _raise()


@dataclasses.dataclass(frozen=True)
class FailsToLoad(DatasetSource):
    name: ClassVar[str] = "broken_load"
    title: ClassVar[str] = "a data set that cannot be read"

    def load(self) -> Dataset:
        _raise()
