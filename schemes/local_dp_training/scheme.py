"""The protocol, participant beside coordinator."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from ppbench.bundle import Array, Tree
from ppbench.errors import ProtocolError, in_range
from ppbench.learners.roles import LearningCoordinator, PerturbedTraining, PerturbingParticipant
from ppbench.party import Party
from ppbench.privacy.guarantee import Privacy, check_positive
from ppbench.privacy.mechanisms import Laplace
from ppbench.privacy.sensitivity import clipped, cube_sensitivity
from ppbench.scheme import Role, SchemeCard, TaskFacts


class Participant(PerturbingParticipant["LocalDpTraining"]):
    """The IoT device: adds Laplace noise to every value of every sample, on its own and trusting nobody."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        """Calibrate the noise; nothing is downloaded."""
        self.mechanism = self.scheme.mechanism(party.task)

    def perturbed(self, party: Party, samples: Array) -> Array:
        """(n, d) raw -> (n, d) float32, noisy. Raises ProtocolError for values that the noise is not calibrated for."""
        unit = party.task.unit(samples)
        lowest, highest = unit.min(initial=0), unit.max(initial=0)
        if not 0 <= lowest <= highest <= 1:
            raise ProtocolError(f"samples from {lowest:g} to {highest:g}: the noise is calibrated for 0 to 1")
        return self.mechanism.release(clipped(unit, "l1", self.scheme.clip) if self.scheme.clip else unit)


class Coordinator(LearningCoordinator["LocalDpTraining"]):
    """The cloud: learns from noisy samples as if they were clear; whatever it does with them costs no privacy."""


@dataclasses.dataclass(frozen=True)
class LocalDpTraining(PerturbedTraining):
    """Laplace noise on each training vector."""

    name: ClassVar[str] = "local_dp_training"
    title: ClassVar[str] = "local DP training: each participant adds Laplace noise to its training samples"
    card: ClassVar[SchemeCard] = SchemeCard(
        title="Local differential privacy of training data",
        source="the experiment in Jiang et al., IoTDI'19 (the paper's [26], section 2.1.2: 'poor accuracy'); Dwork et "
        "al., TCC'06 (Laplace mechanism); in the local model of Kasiviswanathan et al., FOCS'08",
        taxonomy=("training", "data transmission", "data obfuscation", "additive perturbation"),
        protects="each training and test vector from the coordinator, whatever it does with what it gets; how much is "
        "epsilon's; not the labels, and not how many samples a participant has",
        guarantee="epsilon-local differential privacy of each vector, where any two vectors are neighbours: none is "
        "more than exp(epsilon) times as likely as another to have given what was sent. Assumes one release of each "
        "vector, and vectors that tell nothing of one another or of their label; else epsilons add up: over the n "
        "samples of a device to n epsilon, and over the passes of a measurement. The theorem is for real numbers: "
        "noise is drawn in double precision from the operating system's randomness and rounded to a grid, which closes "
        "Mironov's attack (CCS'12) but is no proof. It ends at 37 b, so that delta is not exactly 0 but about 1e-11 a "
        "value where a value's own epsilon is up to 3",
        task="training",
        computation="low",
        communication="retention/compression",
        deterministic_bytes=True,
        seeded_answers=False,
    )
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}

    epsilon: float = 1000.0
    """Of each vector as a whole."""
    clip: float = 0.0
    """Vectors of a larger L1 norm are scaled down to this, for less noise; 0: none is."""

    def __post_init__(self) -> None:
        """Refuse an epsilon that is not above 0, and a negative clip."""
        super().__post_init__()
        check_positive("scheme.epsilon", self.epsilon)
        in_range("scheme.clip", self.clip, 0, 1e9)

    def mechanism(self, facts: TaskFacts) -> Laplace:
        """Noise of scale sensitivity / epsilon, where the sensitivity in L1 is d, or twice `clip` if that is less."""
        return Laplace.calibrated(self.epsilon, 0.0, self._sensitivity(facts))

    def privacy(self, facts: TaskFacts) -> Privacy:
        """What one release of a vector of this task guarantees."""
        return self.mechanism(facts).privacy(self._sensitivity(facts), 0.0, neighbouring="any two vectors")

    def _sensitivity(self, facts: TaskFacts) -> float:
        return cube_sensitivity("l1", facts.dimension, "l1", self.clip)
