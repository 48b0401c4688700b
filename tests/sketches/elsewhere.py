"""A scheme whose parties run in an environment of their own, as an engine with clashing pins needs it."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Tree
from ppbench.party import Party
from ppbench.scheme import Batch, Role, Scheme, SchemeCard
from tests.sketches.common import toy_card


def tell(party: Party) -> None:
    """Where this process runs, and what it can import."""
    for name, text in (("prefix", sys.prefix), ("path", os.environ["PYTHONPATH"])):
        party.publish(name, np.frombuffer(text.encode(), np.uint8))


class Participant(Role["Elsewhere"]):
    """The IoT device."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        tell(party)

    def online(self, party: Party, batch: Batch) -> None:
        party.coordinator.send("samples", party.task.unit(batch.samples))
        party.answer(party.coordinator.receive("labels"))


class Coordinator(Role["Elsewhere"]):
    """The cloud."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        tell(party)

    def online(self, party: Party, batch: Batch) -> None:
        samples = party.participant.receive("samples")
        party.participant.send("labels", (samples.sum(axis=1) > 0).astype(np.uint8))


@dataclasses.dataclass(frozen=True)
class Elsewhere(Scheme):
    """Its answers mean nothing."""

    name: ClassVar[str] = "sketch_elsewhere"
    title: ClassVar[str] = "sketch: an interpreter of its own"
    card: ClassVar[SchemeCard] = toy_card("Elsewhere", "an engine with pins of its own")
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}

    python: str = sys.executable

    def interpreter(self) -> Path | None:
        return Path(self.python)
