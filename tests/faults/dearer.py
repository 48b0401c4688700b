"""Plaintext as a careless change might leave it: its name and its options, but one thing of it is worse."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench.party import Party
from ppbench.scheme import Batch, Role
from schemes.plaintext import Coordinator, Participant, Plaintext


class Padding(Participant):
    """Sends 10 % more values than there are."""

    def online(self, party: Party, batch: Batch) -> None:
        samples = batch.samples
        party.coordinator.send("samples", np.pad(samples, ((0, 0), (0, math.ceil(samples.shape[1] / 10)))))
        party.answer(party.coordinator.receive("labels"))


class Unpadding(Coordinator):
    """Takes no more of them than there are."""

    def online(self, party: Party, batch: Batch) -> None:
        samples = party.task.unit(party.participant.receive("samples")[:, : party.task.dimension])
        party.participant.send("labels", self.classifier(samples))


class Thanking(Participant):
    """Says that it has got its labels."""

    def online(self, party: Party, batch: Batch) -> None:
        super().online(party, batch)
        party.coordinator.send("thanks", np.uint8(1))


class Thanked(Coordinator):
    """Waits for that."""

    def online(self, party: Party, batch: Batch) -> None:
        super().online(party, batch)
        party.participant.receive("thanks")


class Erring(Coordinator):
    """Gets 3 samples of 100 wrong, beside those that its model gets wrong."""

    def online(self, party: Party, batch: Batch) -> None:
        labels = self.classifier(party.task.unit(party.participant.receive("samples")))
        labels[: math.ceil(len(labels) * 0.03)] += 1
        party.participant.send("labels", labels % party.task.n_classes)


@dataclasses.dataclass(frozen=True)
class TenPercentMoreBytes(Plaintext):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Padding, "coordinator": Unpadding}


@dataclasses.dataclass(frozen=True)
class OneRoundMore(Plaintext):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Thanking, "coordinator": Thanked}


@dataclasses.dataclass(frozen=True)
class ThreePointsWorse(Plaintext):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Erring}
