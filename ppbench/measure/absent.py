"""What stands in a job for a plugin that cannot be imported, so that the job becomes a record that says so."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from ppbench.data.dataset import Dataset, DatasetSource, TrainingDataset
from ppbench.errors import UnavailableError
from ppbench.models.model import Model
from ppbench.models.network import Network
from ppbench.plugin import Plugin
from ppbench.progress import Progress
from ppbench.scheme import Role, Scheme, SchemeCard

P = TypeVar("P", bound=Plugin)


@dataclasses.dataclass(frozen=True)
class _Absent(Plugin):
    """It has the options that the configuration gives, unread: nobody knows which there are."""

    title: ClassVar[str] = ""

    reason: str = ""
    given: str = "{}"
    """The options, as JSON, so that a data set can be a key."""

    def unavailable(self) -> str:
        return self.reason

    def options(self) -> dict[str, Any]:
        return dict(json.loads(self.given))

    def variant(self) -> str:
        return ",".join(f"{option}={value}" for option, value in self.options().items())


@dataclasses.dataclass(frozen=True)
class _AbsentScheme(_Absent, Scheme):
    card: ClassVar[SchemeCard] = SchemeCard(
        title="",
        source="",
        taxonomy=(),
        protects="",
        guarantee="",
        task=None,
        computation=None,
        communication=None,
        deterministic_bytes=False,
        seeded_answers=False,
    )
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {}


@dataclasses.dataclass(frozen=True)
class _AbsentDataset(_Absent, DatasetSource):
    def load(self) -> Dataset:
        raise UnavailableError(f"dataset {self.reason}")


@dataclasses.dataclass(frozen=True)
class _AbsentModel(_Absent, Model):
    def check(self, sample_shape: tuple[int, ...]) -> None:
        raise UnavailableError(f"model {self.reason}")

    def train(self, dataset: TrainingDataset, progress: Progress) -> Network:
        raise UnavailableError(f"model {self.reason}")


_KINDS: tuple[type[_Absent], ...] = (_AbsentScheme, _AbsentDataset, _AbsentModel)


def absent(base: type[P], name: str, reason: str, options: Mapping[str, Any]) -> P:
    """A plugin of this name that cannot run here for this reason; `base` is what plugins of its kind derive from."""
    kind = next(kind for kind in _KINDS if issubclass(kind, base))
    plugin: Any = type(kind.__name__, (kind,), {"name": name})
    made: P = plugin(reason=reason, given=json.dumps(dict(options), sort_keys=True))
    return made
