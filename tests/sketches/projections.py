"""Private projection matrices: each participant multiplies its samples with a matrix that it alone knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.party import Party
from ppbench.scheme import Batch, Role, Scheme, SchemeCard, Shard, Task
from tests.sketches.common import toy_card


class Participant(Role["Projections"]):
    """The IoT device: the same secret matrix for what it trains on and what it has classified."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        shape = party.task.dimension, self.scheme.width
        self.matrix = party.rng.normal(scale=shape[1] ** -0.5, size=shape).astype(np.float32)

    def train(self, party: Party, shard: Shard | None) -> None:
        assert shard is not None
        party.coordinator.send("shard", self.project(party, shard.samples), shard.labels)

    def online(self, party: Party, batch: Batch) -> None:
        party.coordinator.send("samples", self.project(party, batch.samples))
        party.answer(party.coordinator.receive("labels"))

    def project(self, party: Party, samples: Array) -> Array:
        """(n, d) raw -> (n, width) float32."""
        projected: Array = party.task.unit(samples) @ self.matrix
        return projected


class Coordinator(Role["Projections"]):
    """The cloud: learns from projected samples, of each participant apart, and never sees another."""

    def train(self, party: Party, shard: Shard | None) -> None:
        self.learned = {peer.peer: peer.receive_many("shard") for peer in party.participants}

    def online(self, party: Party, batch: Batch) -> None:
        samples, labels = self.learned[party.participant.peer]
        asked = party.participant.receive("samples")
        distances = ((asked[:, np.newaxis] - samples) ** 2).sum(axis=2)
        party.participant.send("labels", labels[distances.argmin(axis=1)])


@dataclasses.dataclass(frozen=True)
class Projections(Scheme):
    """Training and inference on privately projected samples."""

    name: ClassVar[str] = "sketch_projections"
    title: ClassVar[str] = "sketch: private random projections"
    card: ClassVar[SchemeCard] = toy_card("Random projection", "Jiang et al., IoTDI'19", task="training")
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}

    width: int = 32
    """Values of a projected sample."""

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        """Nothing: the model is learnt by the parties."""
        return {}
