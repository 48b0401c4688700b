"""A scheme that somebody else wrote: samples leave the device with a few grey levels left."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Tree
from ppbench.errors import in_range
from ppbench.models.network import Network
from ppbench.party import Party
from ppbench.scheme import Batch, Role, Scheme, SchemeCard


class Participant(Role["Hello"]):
    """The IoT device: rounds each value to the nearest level."""

    def online(self, party: Party, batch: Batch) -> None:
        coarse = np.rint(party.task.unit(batch.samples) * (self.scheme.levels - 1)).astype(np.uint8)
        party.coordinator.send("coarse samples", coarse)
        party.answer(party.coordinator.receive("labels"))


class Coordinator(Role["Hello"]):
    """The cloud: classifies what is left."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        self.network = Network.from_tree(artifacts["model"])

    def online(self, party: Party, batch: Batch) -> None:
        samples = party.participant.receive("coarse samples").astype(np.float32) / (self.scheme.levels - 1)
        party.participant.send("labels", self.network(samples).argmax(axis=1).astype(np.uint8))


@dataclasses.dataclass(frozen=True)
class Hello(Scheme):
    """Inference on coarse samples."""

    name: ClassVar[str] = "hello"
    title: ClassVar[str] = "coarse samples to the coordinator"
    card: ClassVar[SchemeCard] = SchemeCard(
        title="Hello",
        source="an example",
        taxonomy=("inference", "example"),
        protects="the finer grey levels, from the coordinator",
        guarantee="none beyond what rounding removes",
        task="inference",
        computation=None,
        communication=None,
        deterministic_bytes=True,
        seeded_answers=True,
    )
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}

    levels: int = 4
    """Grey levels that are left."""

    def __post_init__(self) -> None:
        in_range("scheme.levels", self.levels, 2, 256)
