"""CryptoNets-like: keys at the participant, an evaluation key once, ciphertexts up and down."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Tree
from ppbench.models.network import Network
from ppbench.party import Party
from ppbench.scheme import Batch, Role, Scheme, SchemeCard, Task
from tests.sketches import lwe
from tests.sketches.common import integers_of, single_linear, toy_card

EVALUATION_KEY_BYTES = 4096


class Participant(Role["CryptoNets"]):
    """The IoT device: the only one that holds the key."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        self.key = lwe.new_key()
        # A linear layer needs none; its size stands for that of relinearisation and Galois keys.
        party.coordinator.send("evaluation key", np.zeros(EVALUATION_KEY_BYTES, np.uint8))

    def online(self, party: Party, batch: Batch) -> None:
        party.task.unit(batch.samples)
        party.coordinator.send("samples", lwe.encrypt(self.key, batch.samples))
        scores = lwe.decrypt(self.key, party.coordinator.receive("scores"))
        party.answer(scores.argmax(axis=1))


class Coordinator(Role["CryptoNets"]):
    """The cloud: computes on ciphertexts alone."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        layer = single_linear(Network.from_tree(artifacts["model"]))
        self.weight, self.bias = integers_of(layer, party.task.sample_max)
        for participant in party.participants:
            participant.receive("evaluation key")

    def online(self, party: Party, batch: Batch) -> None:
        encrypted = party.participant.receive("samples")
        party.participant.send("scores", lwe.linear(self.weight, self.bias, encrypted))


@dataclasses.dataclass(frozen=True)
class CryptoNets(Scheme):
    """Inference on encrypted samples."""

    name: ClassVar[str] = "sketch_cryptonets"
    title: ClassVar[str] = "sketch: homomorphic inference without interaction"
    card: ClassVar[SchemeCard] = toy_card("CryptoNets", "Gilad-Bachrach et al., ICML'16", computation="high")
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}

    def check(self, task: Task) -> None:
        single_linear(task.model.network)
