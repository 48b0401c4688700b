"""A scheme whose numbers go astray: plaintext, but for one of what it promises, counts, scores and answers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.macs import Macs
from ppbench.party import Party
from ppbench.privacy.guarantee import Privacy
from ppbench.scheme import Batch, Role, Task, TaskFacts
from schemes.plaintext import Coordinator, Participant, Plaintext


class SpeechlessError(Exception):
    """It fails when it is asked what it is."""

    def __str__(self) -> str:
        """No word."""
        raise RuntimeError


class AstrayParticipant(Participant):
    """Hands over logits that are not finite, if that is what is wrong."""

    def online(self, party: Party, batch: Batch) -> None:
        """As plaintext does."""
        party.coordinator.send("samples", batch.samples)
        labels = party.coordinator.receive("labels")
        wrong = cast(Astray, self.scheme).wrong
        logits = np.full((len(labels), 10), math.nan if wrong == "logits" else 0.0)
        party.answer(labels, logits)


@dataclasses.dataclass(frozen=True)
class Astray(Plaintext):
    """Plaintext, but for what is wrong."""

    name: ClassVar[str] = "astray"
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": AstrayParticipant, "coordinator": Coordinator}
    wrong: str = ""

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        """Nothing, or something for a role that there is not."""
        made: Any = {"nothing": None, "stranger": {"auditor": {"model": 1}}}
        return made[self.wrong] if self.wrong in made else super().prepare(task)

    def privacy(self, facts: TaskFacts) -> Privacy | None:
        """An infinite epsilon promises nothing."""
        return Privacy(math.inf, 0.0, "any two samples", "none", 1.0) if self.wrong == "epsilon" else None

    def macs(self, facts: TaskFacts, artifacts: Mapping[str, Tree]) -> Macs:
        """Not a number of them, or no number at all."""
        wrong: Any = {"macs": math.nan, "text": "many"}
        return Macs(7, wrong.get(self.wrong, 0))

    def resident_bytes(self, facts: TaskFacts) -> float | None:
        """Less than nothing, or no number."""
        return {"debt": -1.0, "residence": math.nan}.get(self.wrong)

    def score(self, task: Task, published: Mapping[str, Mapping[str, Array]]) -> Mapping[str, float]:
        """Overflown, or never returned; what is said of it no file can hold as it is."""
        if self.wrong == "exit":
            raise SystemExit("nobody \udcff asked")
        if self.wrong == "speechless":
            raise SpeechlessError
        names = {"score": "loss", "no name": "", "two lines": "loss\nof all"}
        return {names[self.wrong]: math.inf} if self.wrong in names else {}

    def one_way_steps(self, rounds: int) -> int:
        """More than a float holds."""
        return 10**400 if self.wrong == "steps" else rounds
