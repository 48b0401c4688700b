"""Secure aggregation with dropouts: the coordinator learns the sum of the participants' updates, and no single one.

A toy of Bonawitz et al.: pairwise masks cancel in the sum; for who dropped out, the survivors reveal the masks that
they shared with it. The second, own mask of each participant is left out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import signal
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.errors import PeerGone, choose
from ppbench.party import Party
from ppbench.scheme import Batch, Role, Scheme, SchemeCard, Shard, Task
from tests.sketches.common import toy_card

PRIME = 2**127 - 1
GENERATOR = 3
VICTIM = 1
PATIENCE_S = 10.0


class Participant(Role["SecureAggregation"]):
    """The IoT device: sends its update under masks."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        secret = secrets.randbelow(PRIME - 2) + 1
        party.coordinator.send("public key", number_to_bytes(pow(GENERATOR, secret, PRIME)))
        public = [bytes_to_number(row) for row in party.coordinator.receive("public keys")]
        self.shared = [pow(key, secret, PRIME) for key in public]

    def train(self, party: Party, shard: Shard | None) -> None:
        assert shard is not None
        self.maybe_die(party)
        update = class_sums(party, shard)
        party.coordinator.send("masked update", update + self.masks(party, range(len(self.shared)), update.shape))
        dropped = party.coordinator.receive("dropped")
        party.coordinator.send("their masks", self.masks(party, dropped.tolist(), update.shape))
        self.means = party.coordinator.receive("means")

    def masks(self, party: Party, others: Any, shape: tuple[int, ...]) -> Array:
        """The sum of the masks shared with some others, each with the sign that makes a pair cancel."""
        total = np.zeros(shape, np.uint64)
        for other in others:
            if other != party.index:
                mask = np.random.default_rng(self.shared[other]).integers(0, 2**64, shape, np.uint64)
                total = total + mask if other > party.index else total - mask
        return total

    def maybe_die(self, party: Party) -> None:
        """Drop out in mid-protocol, if the sketch says so."""
        if party.index == VICTIM and self.scheme.dies == "exit":
            os._exit(3)
        if party.index == VICTIM and self.scheme.dies == "kill":
            os.kill(os.getpid(), signal.SIGKILL)

    def online(self, party: Party, batch: Batch) -> None:
        distances = ((party.task.unit(batch.samples)[:, np.newaxis] - self.means) ** 2).sum(axis=2)
        party.answer(distances.argmin(axis=1))


class Coordinator(Role["SecureAggregation"]):
    """The cloud: relays keys, adds up."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        keys = np.stack([participant.receive("public key") for participant in party.participants])
        for participant in party.participants:
            participant.send("public keys", keys)

    def train(self, party: Party, shard: Shard | None) -> None:
        masked = self.collect(party)
        survivors = [party.channels[name] for name in masked]
        dropped = [i for i, participant in enumerate(party.participants) if participant.peer not in masked]
        total: Array = np.stack(list(masked.values())).sum(axis=0, dtype=np.uint64)
        for survivor in survivors:
            survivor.send("dropped", np.array(dropped, np.int64))
        for survivor in survivors:
            total = total - survivor.receive("their masks")
        party.publish("sum", total)
        means = (total[:, :-1] / np.maximum(total[:, -1:], 1)).astype(np.float32) / party.task.sample_max
        for survivor in survivors:
            survivor.send("means", means.astype(np.float32))

    def collect(self, party: Party) -> dict[str, Array]:
        """The update of every participant that lives and sends one in time."""
        masked: dict[str, Array] = {}
        awaited = party.participants
        with contextlib.suppress(TimeoutError, PeerGone):
            while awaited:
                channel, message = party.receive_any(awaited, PATIENCE_S)
                masked[channel.peer] = message.arrays[0]
                awaited.remove(channel)
        return masked


def class_sums(party: Party, shard: Shard) -> Array:
    """(n_classes, d + 1) uint64: for each class the sum of its samples, and how many they are."""
    party.task.unit(shard.samples)
    sums = np.zeros((party.task.n_classes, party.task.dimension + 1), np.uint64)
    np.add.at(sums, shard.labels, np.hstack([shard.samples, np.ones((len(shard.samples), 1), np.uint8)]))
    return sums


def number_to_bytes(number: int) -> Array:
    """16 bytes."""
    return np.frombuffer(number.to_bytes(16, "little"), np.uint8)


def bytes_to_number(row: Array) -> int:
    """The number in 16 bytes."""
    return int.from_bytes(row.tobytes(), "little")


@dataclasses.dataclass(frozen=True)
class SecureAggregation(Scheme):
    """Training by sums under pairwise masks."""

    name: ClassVar[str] = "sketch_secure_aggregation"
    title: ClassVar[str] = "sketch: secure aggregation with dropouts"
    card: ClassVar[SchemeCard] = toy_card(
        "Secure aggregation", "Bonawitz et al., CCS'17", task="training", tolerates_dropouts=True
    )
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}

    dies: str = "no"
    """How participant 1 drops out: `no`, `exit` or `kill`."""

    def __post_init__(self) -> None:
        choose("scheme.dies", self.dies, ("no", "exit", "kill"))

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        return {}
