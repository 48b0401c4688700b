"""Inference on the device: no sample leaves it, only its label. The baselines that a scheme must beat."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from ppbench.bundle import Tree
from ppbench.errors import choose
from ppbench.macs import Macs
from ppbench.models.local_cnn import LocalCnn
from ppbench.models.mlp import Mlp
from ppbench.models.model import Model
from ppbench.models.network import Network
from ppbench.party import Party
from ppbench.scheme import Batch, Role, Scheme, SchemeCard, Task, TaskFacts

DEVICE_MODELS: Mapping[str, Model] = {"small": Mlp(), "local_cnn": LocalCnn()}
"""By the value of `model`: what is trained for the device. On MNIST, the small one needs half of LeNet's
multiplications and is nearly as good; so does the convolutional one, and it is better."""


class Participant(Role["Local"]):
    """The IoT device: downloads the model once and runs it."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        """Download the model."""
        self.network = Network.from_tree(party.coordinator.receive_tree("model"))

    def online(self, party: Party, batch: Batch) -> None:
        """Classify here; a label for each sample, one byte up to 256 classes, tells the coordinator what was found."""
        labels = self.network(party.task.unit(batch.samples)).argmax(axis=1).astype(party.task.label_type)
        party.coordinator.send("labels", labels)
        party.answer(labels)


class Coordinator(Role["Local"]):
    """The cloud: gives its model away and learns labels."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        """Release the model to every participant."""
        for participant in party.participants:
            participant.send_tree("model", artifacts["model"])

    def online(self, party: Party, batch: Batch) -> None:
        """Take note of the labels."""
        party.participant.receive("labels")


@dataclasses.dataclass(frozen=True)
class Local(Scheme):
    """The participant classifies by itself."""

    name: ClassVar[str] = "local"
    title: ClassVar[str] = "inference on the device, only the label leaves it (baseline)"
    requires: ClassVar[Mapping[str, str]] = {"torch": "torch>=2.13"}
    card: ClassVar[SchemeCard] = SchemeCard(
        title="Local inference",
        source="what the paper's section 3.1 rules out for weak devices and confidential models",
        taxonomy=("inference", "local"),
        protects="the sample, from the coordinator; not the model, from the participant",
        guarantee="unconditional for the sample; the label is sent in clear",
        task="inference",
        # Inference by a neural network is section 2's exemplar of medium computation; of what stays on the device, the
        # paper says nothing about communication.
        computation="medium",
        communication=None,
        deterministic_bytes=True,
        seeded_answers=True,
    )
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}

    model: str = "task"
    """`task`: the coordinator's own deep model; one trained for the device: `small`, with a hidden layer of 256, or
    `local_cnn`, with three convolutions."""

    def __post_init__(self) -> None:
        """Refuse another model."""
        choose("scheme.model", self.model, ("task", *DEVICE_MODELS))

    def check(self, task: Task) -> None:
        """The model for the device must take the samples."""
        if self.model in DEVICE_MODELS:
            DEVICE_MODELS[self.model].check(task.facts.sample_shape)

    def macs(self, facts: TaskFacts, artifacts: Mapping[str, Tree]) -> Macs:
        """Those of the released network."""
        return Macs.of(Network.from_tree(artifacts["coordinator"]["model"]))

    def prepare_key(self, facts: TaskFacts) -> Mapping[str, Any]:
        """Which model; the task's own is part of every key."""
        return {"model": self.model}

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        """The model to be released."""
        network = task.model.network if self.model == "task" else _trained(DEVICE_MODELS[self.model], task)
        return {"coordinator": {"model": network.to_tree()}}


def _trained(model: Model, task: Task) -> Network:
    from ppbench.measure.load import trained

    return trained(model, task.dataset, task.progress).network
