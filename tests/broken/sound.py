"""A scheme that passes every check, in numpy alone: what the broken ones depart from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.models.network import Network
from ppbench.party import Party
from ppbench.scheme import Batch, Role, Scheme, SchemeCard


class Participant(Role[Any]):
    """Classifies by itself, and has its labels acknowledged."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        self.network = Network.from_tree(party.coordinator.receive_tree("model"))

    def online(self, party: Party, batch: Batch) -> None:
        labels = self.classify(party, batch)
        party.coordinator.send("labels", labels)
        party.coordinator.receive("seen")
        party.answer(labels)

    def classify(self, party: Party, batch: Batch) -> Array:
        """(n,) uint8."""
        labels: Array = self.network(party.task.unit(batch.samples)).argmax(axis=1).astype(np.uint8)
        return labels


class Coordinator(Role[Any]):
    """Releases the model and acknowledges."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        for participant in party.participants:
            participant.send_tree("model", artifacts["model"])

    def online(self, party: Party, batch: Batch) -> None:
        party.participant.send("seen", len(party.participant.receive("labels")))


class Idle(Role[Any]):
    """A third party that receives nothing."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        self.idle = True


@dataclasses.dataclass(frozen=True)
class Sound(Scheme):
    """Nothing is wrong with it."""

    name: ClassVar[str] = "sound"
    title: ClassVar[str] = "inference on the device, acknowledged"
    card: ClassVar[SchemeCard] = SchemeCard(
        title="Sound",
        source="nowhere",
        taxonomy=("inference", "test"),
        protects="the sample, from the coordinator",
        guarantee="unconditional",
        task="inference",
        computation=None,
        communication=None,
        deterministic_bytes=True,
        seeded_answers=True,
    )
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}


def roles(
    participant: type[Role[Any]] = Participant, coordinator: type[Role[Any]] = Coordinator, **others: type[Role[Any]]
) -> dict[str, type[Role[Any]]]:
    """The sound roles but for those given."""
    return {"participant": participant, "coordinator": coordinator, **others}
