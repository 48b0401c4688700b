"""Training on perturbed samples (paper, section 2.1.2): what its schemes have in common, from both sides.

Each participant perturbs the samples of its shard and sends them with their labels, which are in clear; the
coordinator learns from what comes from all of them; then each participant has samples of its own classified, perturbed
in the same way.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar, TypeVar

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.errors import ProtocolError, choose
from ppbench.learners import LEARNERS
from ppbench.learners.learner import Classify, Learner
from ppbench.party import Party
from ppbench.scheme import Batch, Role, Scheme, Shard, Task, TaskFacts
from ppbench.wire.channel import Channel

_AT_ONCE = 1000
"""Samples perturbed and sent in one message, so that a device need not hold its whole shard perturbed."""


@dataclasses.dataclass(frozen=True)
class PerturbedTraining(Scheme, abc.ABC):
    """A scheme whose participants send perturbed training samples."""

    requires: ClassVar[Mapping[str, str]] = {"sklearn": "scikit-learn>=1.4", "torch": "torch>=2.13"}

    learner: str = "svm"
    """What the coordinator trains: `svm`, `knn` or `dnn`."""

    def __post_init__(self) -> None:
        """Refuse an unknown learner."""
        choose("scheme.learner", self.learner, LEARNERS)

    def new_learner(self) -> Learner:
        """An untrained one, its library imported."""
        return LEARNERS[self.learner]()

    def width(self, facts: TaskFacts) -> int:
        """Values of a perturbed sample."""
        return facts.dimension

    def prepare_key(self, facts: TaskFacts) -> Mapping[str, object]:
        """Nothing decides what is not made."""
        return {}

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        """Nothing: there is no model before the participants have sent their samples."""
        return {}


S = TypeVar("S", bound=PerturbedTraining)


class PerturbingParticipant(Role[S], abc.ABC):
    """The IoT device: nothing of a sample leaves it but `perturbed`."""

    @abc.abstractmethod
    def perturbed(self, party: Party, samples: Array) -> Array:
        """(n, d) raw -> (n, k) floats, as they are sent."""

    def train(self, party: Party, shard: Shard | None) -> None:
        """Send the labels of the shard, which say how many samples there are, and these perturbed."""
        assert shard is not None
        party.coordinator.send("shard labels", shard.labels)
        for start in range(0, len(shard.labels), _AT_ONCE):
            party.coordinator.send("shard", self.perturbed(party, shard.samples[start : start + _AT_ONCE]))

    def online(self, party: Party, batch: Batch) -> None:
        """Perturbed samples up, labels down."""
        party.coordinator.send("samples", self.perturbed(party, batch.samples))
        party.answer(party.coordinator.receive("labels"))


class LearningCoordinator(Role[S]):
    """The cloud: learns from what all participants sent, and classifies what they send next."""

    def __init__(self, scheme: S) -> None:
        """The learner's library is imported here, where no stage is charged for it."""
        super().__init__(scheme)
        self.learner = scheme.new_learner()

    def train(self, party: Party, shard: Shard | None) -> None:
        """One model from all shards together."""
        shards = [self.received_shard(party, participant) for participant in party.participants]
        self.classify = learnt(self.learner, shards, party.task.seed)

    def online(self, party: Party, batch: Batch) -> None:
        """Classify and answer."""
        samples = self.received_samples(party, party.participant, "samples")
        party.participant.send("labels", self.classify(samples))

    def received_shard(self, party: Party, participant: Channel) -> Shard:
        """What a participant sent in `train`; it may be empty. Raises ProtocolError for what cannot be learnt from."""
        labels = participant.receive("shard labels")
        if labels.ndim != 1 or labels.dtype != party.task.label_type or labels.max(initial=0) >= party.task.n_classes:
            found = f"{labels.dtype} {labels.shape} up to {labels.max(initial=0)}"
            due = f"{party.task.label_type} (n,) below {party.task.n_classes}"
            raise ProtocolError(f"{participant.peer} sent labels {found} where {due} are due")
        parts = [np.empty((0, self.scheme.width(party.task)), np.float32)]
        while (n := sum(map(len, parts))) < len(labels):
            parts.append(self.received_samples(party, participant, "shard"))
        if n > len(labels):
            raise ProtocolError(f"{participant.peer} sent {n} samples with {len(labels)} labels")
        return Shard(np.concatenate(parts), labels)

    def received_samples(self, party: Party, participant: Channel, name: str) -> Array:
        """(n, width) finite floats, the next message. Raises ProtocolError for anything else."""
        samples, width = participant.receive(name), self.scheme.width(party.task)
        if samples.ndim != 2 or samples.shape[1] != width or samples.dtype.kind != "f":
            found = f"{samples.dtype} {samples.shape}"
            raise ProtocolError(f"{participant.peer} sent {name!r} {found} where real numbers (n, {width}) are due")
        if not np.isfinite(samples).all():
            raise ProtocolError(f"{participant.peer} sent {name!r} with values that are not finite")
        return samples


def learnt(learner: Learner, shards: Sequence[Shard], seed: int) -> Classify:
    """What a learner makes of all samples of some shards. Raises ProtocolError if there is none."""
    samples = np.concatenate([shard.samples for shard in shards])
    labels = np.concatenate([shard.labels for shard in shards])
    if not len(labels):
        raise ProtocolError("no participant has a training sample: there is nothing to learn from")
    return learner.fit(samples, labels, seed)


def shared_secret(task: Task) -> int:
    """What all participants are provided with, out of the coordinator's sight: 62 bits.

    The job's seed decides it, so that runs repeat; outside of a harness it is to come from the operating system.
    """
    return int(np.random.default_rng([task.seed, 1]).integers(1 << 62))
