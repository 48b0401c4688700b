"""A scheme whose participant computes as much as it is told to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Tree
from ppbench.errors import in_range
from ppbench.party import Party
from ppbench.scheme import Batch, Role, Scheme, SchemeCard, Task

_SIZE = 64


class Participant(Role["KnownWork"]):
    def setup(self, party: Party, artifacts: Tree) -> None:
        self.values = np.zeros((_SIZE, _SIZE))

    def online(self, party: Party, batch: Batch) -> None:
        for _ in range(self.scheme.steps):
            self.values = self.values @ self.values
        party.coordinator.send("done", np.uint8(1))
        party.coordinator.receive("seen")
        party.answer(np.zeros(batch.size, np.uint8))


class Coordinator(Role["KnownWork"]):
    def online(self, party: Party, batch: Batch) -> None:
        party.participant.send("seen", party.participant.receive("done"))


@dataclasses.dataclass(frozen=True)
class KnownWork(Scheme):
    name: ClassVar[str] = "known_work"
    title: ClassVar[str] = "for tests of what computing costs"
    card: ClassVar[SchemeCard] = SchemeCard(
        title="Known work",
        source="tests",
        taxonomy=("inference", "test"),
        protects="nothing",
        guarantee="none",
        task="inference",
        computation=None,
        communication=None,
        deterministic_bytes=True,
        seeded_answers=True,
    )
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}

    steps: int = 100
    """Products of two matrices of 64 by 64 for each batch."""

    def __post_init__(self) -> None:
        in_range("scheme.steps", self.steps, 0)

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        return {}
