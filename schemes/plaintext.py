"""No protection: the participant sends the raw sample. What every other scheme's cost is compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from ppbench.bundle import Tree
from ppbench.macs import Macs
from ppbench.models.classifier import Classifier
from ppbench.models.network import Network
from ppbench.party import Party
from ppbench.scheme import Batch, Role, Scheme, SchemeCard, TaskFacts


class Participant(Role["Plaintext"]):
    """The IoT device: sends what it stores, one byte a pixel."""

    def online(self, party: Party, batch: Batch) -> None:
        """Sample up, label down."""
        party.coordinator.send("samples", batch.samples)
        party.answer(party.coordinator.receive("labels"))


class Coordinator(Role["Plaintext"]):
    """The cloud: classifies the clear samples with its deep model."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        """Load the model."""
        self.classifier = Classifier(Network.from_tree(artifacts["model"]))

    def online(self, party: Party, batch: Batch) -> None:
        """Classify and answer."""
        samples = party.task.unit(party.participant.receive("samples"))
        party.participant.send("labels", self.classifier(samples))


@dataclasses.dataclass(frozen=True)
class Plaintext(Scheme):
    """The baseline without protection."""

    name: ClassVar[str] = "plaintext"
    title: ClassVar[str] = "no protection: raw samples to the coordinator (baseline)"
    card: ClassVar[SchemeCard] = SchemeCard(
        title="Plaintext",
        source="the paper's system model without ObfNet (section 3.1)",
        taxonomy=("inference", "plaintext"),
        protects="nothing",
        guarantee="none: the coordinator sees every sample",
        task="inference",
        computation=None,
        communication=None,
        deterministic_bytes=True,
        seeded_answers=True,
    )
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}

    def macs(self, facts: TaskFacts, artifacts: Mapping[str, Tree]) -> Macs:
        """Zero: samples are sent as they are."""
        return Macs()
