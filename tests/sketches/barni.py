"""Barni-like: the coordinator computes each linear layer on ciphertexts, the participant each activation in clear."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.models.network import Linear, Network
from ppbench.party import Party
from ppbench.scheme import Batch, Role, Scheme, SchemeCard
from tests.sketches import lwe
from tests.sketches.common import FRACTION_BITS, integers_of, toy_card

ACTIVATION_MAX = 64
"""What an activation of 1.0 is as an integer."""


class Participant(Role["Barni"]):
    """The IoT device: encrypts, and applies every activation."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        self.key = lwe.new_key()
        self.n_layers = int(party.coordinator.receive("number of linear layers"))

    def online(self, party: Party, batch: Batch) -> None:
        party.task.unit(batch.samples)
        values: Array = batch.samples.astype(np.int64)
        for layer in range(self.n_layers):
            party.coordinator.send("inputs", lwe.encrypt(self.key, values))
            outputs = lwe.decrypt(self.key, party.coordinator.receive("outputs"))
            if layer < self.n_layers - 1:
                values = np.rint(np.maximum(outputs, 0) / 2**FRACTION_BITS * ACTIVATION_MAX).astype(np.int64)
        party.answer(outputs.argmax(axis=1))


class Coordinator(Role["Barni"]):
    """The cloud: owns the weights, sees ciphertexts alone."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        layers = [layer for layer in Network.from_tree(artifacts["model"]).layers if isinstance(layer, Linear)]
        maxima = [party.task.sample_max] + [ACTIVATION_MAX] * (len(layers) - 1)
        self.layers = [integers_of(layer, top) for layer, top in zip(layers, maxima, strict=True)]
        for participant in party.participants:
            participant.send("number of linear layers", len(layers))

    def online(self, party: Party, batch: Batch) -> None:
        for weight, bias in self.layers:
            party.participant.send("outputs", lwe.linear(weight, bias, party.participant.receive("inputs")))


@dataclasses.dataclass(frozen=True)
class Barni(Scheme):
    """Interactive inference, two rounds for each linear layer."""

    name: ClassVar[str] = "sketch_barni"
    title: ClassVar[str] = "sketch: homomorphic inference, interactive"
    card: ClassVar[SchemeCard] = toy_card("Barni", "Barni et al., MM&Sec'06", communication="iterative")
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}
