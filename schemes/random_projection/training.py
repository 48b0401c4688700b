"""Training on projected samples: the protocol, participant first."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.errors import ConfigError, ProtocolError, choose, in_range
from ppbench.learners.roles import (
    LearningCoordinator,
    PerturbedTraining,
    PerturbingParticipant,
    learnt,
    shared_secret,
)
from ppbench.macs import Macs
from ppbench.party import Party
from ppbench.scheme import Batch, Role, SchemeCard, Shard, Task, TaskFacts
from ppbench.wire.channel import Channel
from schemes.random_projection.projection import check_projection, gaussian_matrix, matrix_of, width_of
from schemes.random_projection.regression import regression

MATRICES = ("shared", "private")
MODELS = ("one", "each")


class Participant(PerturbingParticipant["ProjectionTraining"]):
    """The IoT device: one matrix for what it trains with and for what it has classified."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        """Make the matrix, and download the public samples if there are any."""
        dimension, width = party.task.dimension, self.scheme.width(party.task)
        if self.scheme.matrix == "shared":
            self.matrix = matrix_of(artifacts["secret"], dimension, width)
        else:
            self.matrix = gaussian_matrix(dimension, width)  # of the operating system's chance: nobody else knows it
        if self.scheme.public_samples:
            self.public_samples = party.coordinator.receive("public samples")

    def perturbed(self, party: Party, samples: Array) -> Array:
        """(n, d) raw -> (n, k) of the encoding's type."""
        projected: Array = party.task.unit(samples) @ self.matrix
        return projected.astype(self.scheme.encoding)

    def train(self, party: Party, shard: Shard | None) -> None:
        """Send the public samples as this participant projects them ([29]), then its own."""
        if self.scheme.public_samples:
            party.coordinator.send("public samples", self.perturbed(party, self.public_samples))
        super().train(party, shard)


class Coordinator(LearningCoordinator["ProjectionTraining"]):
    """The cloud: learns from the projections of all participants, made comparable first where it can ([29])."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        """Send the public samples to every participant, if there are any."""
        self.lifts: dict[str, Array] = {}
        if self.scheme.public_samples:
            self.public_samples: Array = artifacts["public samples"]
            for participant in party.participants:
                participant.send("public samples", self.public_samples)

    def train(self, party: Party, shard: Shard | None) -> None:
        """One model for all participants, or one for each from its own shard alone."""
        shards = {participant.peer: self._comparable_shard(party, participant) for participant in party.participants}
        if self.scheme.models == "each":
            self.models = {peer: learnt(self.learner, [own], party.task.seed) for peer, own in shards.items()}
        else:
            self.models = dict.fromkeys(shards, learnt(self.learner, list(shards.values()), party.task.seed))

    def online(self, party: Party, batch: Batch) -> None:
        """Classify and answer."""
        participant = party.participant
        samples = self._comparable(participant, self.received_samples(party, participant, "samples"))
        if self.scheme.public_samples:
            party.reconstructed(samples)
        participant.send("labels", self.models[participant.peer](samples))

    def _comparable_shard(self, party: Party, participant: Channel) -> Shard:
        if self.scheme.public_samples:
            projected = self.received_samples(party, participant, "public samples")
            if len(projected) != len(self.public_samples):
                raise ProtocolError(
                    f"{participant.peer} projected {len(projected)} of {len(self.public_samples)} samples"
                )
            self.lifts[participant.peer] = regression(projected, party.task.unit(self.public_samples))
        shard = self.received_shard(party, participant)
        return Shard(self._comparable(participant, shard.samples), shard.labels)

    def _comparable(self, participant: Channel, projected: Array) -> Array:
        """Where there are public samples, the clear samples as near as regression comes; else what was sent."""
        lift = self.lifts.get(participant.peer)
        return projected if lift is None else projected.astype(np.float32) @ lift


@dataclasses.dataclass(frozen=True)
class ProjectionTraining(PerturbedTraining):
    """Training and classification of samples that each participant projected at random."""

    name: ClassVar[str] = "projection_training"
    title: ClassVar[str] = "random projection in training: with one matrix for all, or with private ones"
    card: ClassVar[SchemeCard] = SchemeCard(
        title="Random projection of training data",
        source="the paper's section 2.1.2: [41] Shen et al., Computer Networks 2018 (matrix=shared); [26] Jiang et "
        "al., IoTDI'19 (matrix=private); [29] Liu et al., SenSys'12 (private, with public samples)",
        taxonomy=(
            "training",
            "data transmission",
            "data obfuscation",
            "multiplicative perturbation",
            "random projection",
        ),
        protects="the raw form of training and test samples, from a coordinator that does not know the matrix; not the "
        "labels",
        guarantee="none that can be stated as a number. A shared matrix is lost with the first participant that "
        "colludes; devices are provided with it out of the coordinator's sight, and in the harness it follows from the "
        "job's seed. A private one lasts as long as nobody knows samples together with their projections: public "
        "samples projected for the coordinator's regression give it away, exactly once they span the space, and well "
        "enough to see what is sent long before (column reconstruction_mse)",
        task="training",
        computation="low",
        communication="retention/compression",
        deterministic_bytes=True,
        seeded_answers=False,
    )
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}

    matrix: str = "private"
    """`shared` by all participants, or `private` to each."""
    ratio: float = 0.5
    """k/d: how many values are sent of as many as a sample has."""
    public_samples: int = 0
    """How many samples known to all are projected by each participant, for the coordinator's regression; 0: none."""
    models: str = "one"
    """`one` for all participants, or `each` its own, from its own shard: what learning together has to beat."""
    encoding: str = "float32"
    """`float32` or `float16`."""

    def __post_init__(self) -> None:
        """Refuse what cannot be projected, sent or learnt."""
        super().__post_init__()
        check_projection(self.ratio, self.encoding)
        choose("scheme.matrix", self.matrix, MATRICES)
        choose("scheme.models", self.models, MODELS)
        in_range("scheme.public_samples", self.public_samples, 0)
        if self.public_samples and self.matrix == "shared":
            raise ConfigError(
                f"scheme.public_samples={self.public_samples} is for scheme.matrix='private': "
                "projections by a shared matrix are comparable as they are"
            )

    def check(self, task: Task) -> None:
        """Public samples must not be anybody's private ones."""
        task.public_samples(self.public_samples)

    def width(self, facts: TaskFacts) -> int:
        """As many values as a projection has: k."""
        return width_of(self.ratio, facts)

    def macs(self, facts: TaskFacts, artifacts: Mapping[str, Tree]) -> Macs:
        """A sample times the matrix."""
        return Macs(dense=facts.dimension * self.width(facts))

    def prepare_key(self, facts: TaskFacts) -> Mapping[str, Any]:
        """Secret and public samples follow from the seed."""
        return {"matrix": self.matrix, "public_samples": self.public_samples, "seed": facts.seed}

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        """Public samples for the coordinator; the shared secret for every participant, and not for the coordinator."""
        return {
            "participant": {"secret": shared_secret(task)} if self.matrix == "shared" else None,
            "coordinator": {"public samples": task.public_samples(self.public_samples)},
        }
