"""Federated averaging: in each training round some participants train the common model on their own shards.

McMahan et al., AISTATS'17, algorithm 1, of a softmax regression: what is moved, in how many steps, is known in advance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.errors import in_range
from ppbench.party import Party
from ppbench.scheme import COORDINATOR, Batch, FinishedTask, Role, Scheme, SchemeCard, Shard, Task
from ppbench.wire.channel import Channel
from tests.sketches.common import toy_card

S = TypeVar("S", bound="FederatedAveraging")


class Participant(Role[S]):
    """The IoT device: its samples stay, a model trained on them leaves."""

    def train(self, party: Party, shard: Shard | None) -> None:
        assert shard is not None
        inputs = party.task.unit(shard.samples)
        while (message := party.coordinator.receive_message()).name == "model":
            number, model = message.arrays
            for _ in range(self.scheme.n_epochs):
                model = model - self.scheme.learning_rate * gradient(model, inputs, shard.labels)
            party.coordinator.send("update", model, np.uint32(len(inputs)))
            party.round_ended(int(number))
        (self.model,) = message.arrays

    def online(self, party: Party, batch: Batch) -> None:
        labels = classified(self.model, party.task.unit(batch.samples)).astype(np.uint8)
        party.coordinator.send("labels", labels)
        party.answer(labels)


class Coordinator(Role[S]):
    """The cloud: chooses, combines."""

    def train(self, party: Party, shard: Shard | None) -> None:
        model = np.zeros((party.task.dimension + 1, party.task.n_classes), np.float32)
        for number in range(self.scheme.n_training_rounds):
            chosen = self.chosen(party)
            for participant in chosen:
                participant.send("model", np.uint16(number), model)
            updates = [participant.receive_many("update") for participant in chosen]
            model = np.average([update for update, _ in updates], axis=0, weights=[int(n) for _, n in updates])
            model = model.astype(np.float32)
            party.publish("model", model)
            party.round_ended()
        for participant in party.participants:
            participant.send("trained", model)

    def chosen(self, party: Party) -> Sequence[Channel]:
        """Those who train in this round."""
        n_chosen = self.scheme.n_chosen or party.task.n_participants
        return [party.participants[i] for i in party.rng.permutation(party.task.n_participants)[:n_chosen]]

    def online(self, party: Party, batch: Batch) -> None:
        party.participant.receive("labels")


def gradient(model: Array, inputs: Array, labels: Array) -> Array:
    """(d + 1, c) of the mean cross-entropy."""
    scores = with_one(inputs) @ model
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    odds /= odds.sum(axis=1, keepdims=True)
    odds[np.arange(len(labels)), labels] -= 1
    mean: Array = with_one(inputs).T @ odds / np.float32(len(labels))
    return mean


def classified(model: Array, inputs: Array) -> Array:
    """(n,) labels."""
    labels: Array = (with_one(inputs) @ model).argmax(axis=1)
    return labels


def with_one(inputs: Array) -> Array:
    """(n, d) -> (n, d + 1): the last weight is the bias."""
    return np.hstack([inputs, np.ones((len(inputs), 1), np.float32)])


@dataclasses.dataclass(frozen=True)
class FederatedAveraging(Scheme):
    """Training by averages of models."""

    name: ClassVar[str] = "sketch_federated_averaging"
    title: ClassVar[str] = "sketch: federated averaging of a softmax regression"
    card: ClassVar[SchemeCard] = toy_card("Federated averaging", "McMahan et al., AISTATS'17", task="training")
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, COORDINATOR: Coordinator}

    n_training_rounds: int = 3
    n_chosen: int = 0
    """Participants that train in a round; 0: all."""
    n_epochs: int = 5
    """Steps down the gradient of its whole shard that each of them takes in a round."""
    learning_rate: float = 1.0

    def __post_init__(self) -> None:
        in_range("scheme.n_training_rounds", self.n_training_rounds, 1)

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        return {}

    def score(self, task: FinishedTask, published: Mapping[str, Mapping[str, Array]]) -> Mapping[str, float]:
        """How many test samples the common model gets right."""
        inputs = task.facts.unit(task.test.samples)
        found = classified(published[COORDINATOR]["model"], inputs)
        return {"accuracy": float((found == task.test.labels).mean())}
