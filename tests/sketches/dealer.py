"""MPC with a dealer: additive shares modulo 2**64, a linear layer by Beaver triples, dealt on demand or ahead."""

from __future__ import annotations

import dataclasses
import secrets
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.models.network import Network
from ppbench.party import Party
from ppbench.scheme import Batch, Role, Scheme, SchemeCard, Task
from ppbench.wire.channel import Channel
from tests.sketches.common import integers_of, single_linear, toy_card

Triple = tuple[Array, Array, Array]


def uniform(*shape: int) -> Array:
    """Elements of the ring by the operating system's randomness."""
    return np.random.default_rng(secrets.randbits(128)).integers(0, 2**64, shape, np.uint64)


class Holder(Role["WithDealer"]):
    """What participant and coordinator have in common: shares, and triples to multiply them with."""

    def offline(self, party: Party, batch: Batch) -> None:
        self.store: dict[int, Triple] = getattr(self, "store", {})
        if self.scheme.ahead:
            self.store[batch.index] = self.deal(party, batch)

    def triple(self, party: Party, batch: Batch) -> Triple:
        """A fresh share of (a, b, a @ b)."""
        return self.store.pop(batch.index) if self.scheme.ahead else self.deal(party, batch)

    def deal(self, party: Party, batch: Batch) -> Triple:
        """Ask the dealer; it tells batches apart by their owner, whose name `party.participant` bears."""
        owner = self.owner(party)
        party.to("dealer").send("triple, please", np.array([owner, batch.size, party.task.n_classes]))
        a, b, c = party.to("dealer").receive_many("triple")
        return a, b, c

    def owner(self, party: Party) -> int:
        """The index of the participant whose batch is in hand."""
        raise NotImplementedError

    def open(self, peer: Channel, mine: tuple[Array, ...]) -> tuple[Array, ...]:
        """Both sides show their shares at once: one round."""
        peer.send("open", *mine)
        return tuple(own + theirs for own, theirs in zip(mine, peer.receive_many("open"), strict=True))


class Participant(Holder):
    """The IoT device: shares its samples, and learns the scores."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        self.weight_share = party.coordinator.receive("weight share")

    def online(self, party: Party, batch: Batch) -> None:
        party.task.unit(batch.samples)
        a, b, c = self.triple(party, batch)
        theirs = uniform(*batch.samples.shape)
        mine = batch.samples.astype(np.uint64) - theirs
        party.coordinator.send("sample share", theirs)
        e, f = self.open(party.coordinator, (mine - a, self.weight_share - b))
        scores = c + e @ b + a @ f + e @ f + party.coordinator.receive("score share")
        party.answer(scores.view(np.int64).argmax(axis=1))

    def owner(self, party: Party) -> int:
        return party.index


class Coordinator(Holder):
    """The cloud: shares its weights, and learns nothing."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        layer = single_linear(Network.from_tree(artifacts["model"]))
        weight, self.bias = integers_of(layer, party.task.sample_max)
        self.shares = {}
        for participant in party.participants:
            theirs = uniform(*weight.T.shape)
            self.shares[participant.peer] = weight.T - theirs
            participant.send("weight share", theirs)

    def online(self, party: Party, batch: Batch) -> None:
        a, b, c = self.triple(party, batch)
        mine = party.participant.receive("sample share")
        e, f = self.open(party.participant, (mine - a, self.shares[party.participant.peer] - b))
        party.participant.send("score share", c + e @ b + a @ f + self.bias)

    def owner(self, party: Party) -> int:
        return int(party.participant.peer.rpartition("-")[2])


class Dealer(Role["WithDealer"]):
    """The third party: sees no sample and no weight, deals correlated randomness."""

    on_critical_path = False

    def serve(self, party: Party) -> None:
        # Either side of a pair may be several batches ahead of the other.
        waiting: dict[tuple[int, str], deque[Triple]] = defaultdict(deque)
        for channel, message in party.requests("participant", "coordinator"):
            owner, n, n_classes = (int(value) for value in message.arrays[0])
            if not waiting[owner, channel.peer]:
                peer = f"participant-{owner}" if channel.peer == "coordinator" else "coordinator"
                mine, theirs = self.new_triple(n, party.task.dimension, n_classes)
                waiting[owner, peer].append(theirs)
            else:
                mine = waiting[owner, channel.peer].popleft()
            channel.send("triple", *mine)

    def new_triple(self, n: int, d: int, n_classes: int) -> tuple[Triple, Triple]:
        """Two shares of (a, b, a @ b)."""
        a, b = uniform(n, d), uniform(d, n_classes)
        one = uniform(n, d), uniform(d, n_classes), uniform(n, n_classes)
        return one, (a - one[0], b - one[1], a @ b - one[2])


@dataclasses.dataclass(frozen=True)
class WithDealer(Scheme):
    """Two-party inference on shares."""

    name: ClassVar[str] = "sketch_dealer"
    title: ClassVar[str] = "sketch: MPC with a dealer"
    card: ClassVar[SchemeCard] = toy_card("MPC with a dealer", "Beaver, CRYPTO'91", communication="iterative")
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {
        "participant": Participant,
        "coordinator": Coordinator,
        "dealer": Dealer,
    }

    ahead: bool = False
    """Whether triples are dealt in the offline stage instead of when they are needed."""

    def check(self, task: Task) -> None:
        single_linear(task.model.network)
