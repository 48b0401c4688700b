"""A scheme whose participants each send so many bytes in training, but for those that drop out half way."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Tree
from ppbench.errors import PeerGone
from ppbench.party import Party
from ppbench.scheme import Batch, Role, Scheme, SchemeCard, Shard, Task
from tests.faults.scheme import FAULTS, Faulty

HALF_BYTES = 70_000


def _leave(party: Party) -> None:
    party.leave()


ENDS: Mapping[str, Callable[[Party], Any]] = {**FAULTS, "leave": _leave, "sys.exit": lambda party: sys.exit(3)}


class Participant(Role["DropsOut"]):
    """Sends two halves; a victim stays no longer than for the first."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        party.coordinator.send("hello", np.uint8(1))

    def train(self, party: Party, shard: Shard | None) -> None:
        self.maybe_drop_out(party, "train", after_half=False)
        party.coordinator.send("half", np.zeros(HALF_BYTES, np.uint8))
        self.maybe_drop_out(party, "train", after_half=True)
        party.coordinator.send("half", np.zeros(HALF_BYTES, np.uint8))

    def online(self, party: Party, batch: Batch) -> None:
        party.coordinator.send("samples", batch.samples)
        labels = party.coordinator.receive("labels")
        self.maybe_drop_out(party, "online", after_half=False)
        party.answer(labels)

    def maybe_drop_out(self, party: Party, stage: str, after_half: bool) -> None:
        if party.index in self.scheme.victims and (stage, after_half) == (self.scheme.stage, self.scheme.after_half):
            ENDS[self.scheme.fault](party)


class Coordinator(Role["DropsOut"]):
    """Goes on with those that are left."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        for participant in party.participants:
            participant.receive("hello")

    def train(self, party: Party, shard: Shard | None) -> None:
        for participant in party.participants:
            with contextlib.suppress(*[PeerGone] if self.scheme.patient else []):
                participant.receive("half")
                participant.receive("half")

    def online(self, party: Party, batch: Batch) -> None:
        party.participant.send("labels", np.zeros(len(party.participant.receive("samples")), np.uint8))


@dataclasses.dataclass(frozen=True)
class DropsOut(Scheme):
    name: ClassVar[str] = "drops_out"
    title: ClassVar[str] = "for tests of dropouts"
    card: ClassVar[SchemeCard] = dataclasses.replace(Faulty.card, task="training", tolerates_dropouts=True)
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}

    fault: str = "kill"
    victims: tuple[int, ...] = ()
    stage: str = "train"
    after_half: bool = True
    patient: bool = True
    """Whether the coordinator goes on without the victims."""

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        return {}


@dataclasses.dataclass(frozen=True)
class MustStay(DropsOut):
    name: ClassVar[str] = "must_stay"
    card: ClassVar[SchemeCard] = dataclasses.replace(Faulty.card, task="training")
