"""The protocol, participant beside coordinator."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.errors import choose
from ppbench.learners import Learner, Svm
from ppbench.learners.roles import LearningCoordinator, PerturbedTraining, PerturbingParticipant, shared_secret
from ppbench.learners.svm import SCALE
from ppbench.macs import Macs
from ppbench.party import Party
from ppbench.privacy.chance import seeded_words
from ppbench.privacy.guarantee import check_positive
from ppbench.scheme import Role, SchemeCard, Task, TaskFacts
from schemes.rotation.haar import haar_matrix

ENCODINGS = ("float32", "float64")


class Participant(PerturbingParticipant["Rotation"]):
    """The IoT device: turns each sample by the matrix that all participants share."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        """Make the matrix from the secret that the device was provided with; nothing is downloaded."""
        random = np.random.default_rng(artifacts["secret"])
        self.matrix = haar_matrix(party.task.dimension, seeded_words(random))

    def perturbed(self, party: Party, samples: Array) -> Array:
        """(n, d) raw -> (n, d) of the encoding's type."""
        rotated: Array = party.task.unit(samples).astype(np.float64) @ self.matrix
        return rotated.astype(self.scheme.encoding)


class Coordinator(LearningCoordinator["Rotation"]):
    """The cloud: sees a data set turned by an unknown matrix, in which all distances and inner products are right."""


@dataclasses.dataclass(frozen=True)
class Rotation(PerturbedTraining):
    """Geometric perturbation that keeps all that distance-based classifiers use."""

    name: ClassVar[str] = "rotation"
    title: ClassVar[str] = "rotation: training on samples turned by a secret matrix that all participants share"
    card: ClassVar[SchemeCard] = SchemeCard(
        title="Rotation perturbation",
        source="Chen & Liu, Privacy preserving data classification with rotation perturbation, ICDM'05 (the paper's "
        "[10], section 2.1.2)",
        taxonomy=("training", "data transmission", "data obfuscation", "multiplicative perturbation", "rotation"),
        protects="the raw form of training and test samples, from a coordinator that knows neither the matrix nor any "
        "sample; not the labels",
        guarantee="none that can be stated as a number: lengths, distances and angles are all sent as they are. As "
        "many known samples as there are dimensions give the matrix away, without any known sample an approximate "
        "reconstruction does (the paper's [30]), and one participant that colludes hands it over. Devices are provided "
        "with the secret out of the coordinator's sight; in the harness it follows from the job's seed",
        task="training",
        computation="low",
        communication="retention/compression",
        deterministic_bytes=True,
        seeded_answers=True,
    )
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}

    gamma: float | None = 0.02
    """Of the SVM's kernel; null: scikit-learn's `scale`, which changes when samples are rotated."""
    encoding: str = "float32"
    """`float32`, or `float64` where decision values are to be those of clear samples to ten digits."""

    def __post_init__(self) -> None:
        """Refuse what is no kernel or cannot be sent."""
        super().__post_init__()
        choose("scheme.encoding", self.encoding, ENCODINGS)
        if self.gamma is not None:
            check_positive("scheme.gamma", self.gamma)

    def new_learner(self) -> Learner:
        """The SVM with this gamma."""
        return Svm(SCALE if self.gamma is None else self.gamma) if self.learner == "svm" else super().new_learner()

    def macs(self, facts: TaskFacts, artifacts: Mapping[str, Tree]) -> Macs:
        """A sample times the matrix."""
        return Macs(dense=facts.dimension**2)

    def prepare_key(self, facts: TaskFacts) -> Mapping[str, Any]:
        """The secret follows from the seed."""
        return {"seed": facts.seed}

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        """The secret that every participant, and not the coordinator, is provided with."""
        return {"participant": {"secret": shared_secret(task)}}
