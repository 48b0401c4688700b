"""A scheme whose parties exchange messages of known sizes, and say what TCP did besides."""

from __future__ import annotations

import dataclasses
import os
import socket
import struct
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.party import Party
from ppbench.scheme import Batch, Role, Scheme, SchemeCard, Task
from ppbench.wire.channel import Channel
from ppbench.wire.message import encode

NAME = "known"


def frame_bytes(size: int) -> int:
    """What a message of one array of `size` bytes is on a stream."""
    return sum(map(len, encode(NAME, [np.zeros(size, np.uint8)])))


class _Known(Role["KnownBytes"]):
    def setup(self, party: Party, artifacts: Tree) -> None:
        # On two cores packets overtake one another, and are selectively acknowledged or sent again.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        self.extras: list[tuple[int, int]] = []

    def note(self, party: Party, channel: Channel) -> None:
        """What was sent again, and how many duplicates the peer told of, until this pass began."""
        if channel.connection.socket.family == socket.AF_INET:
            info = channel.connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            self.extras.append(struct.unpack_from("=QI", info, 208))
            party.publish("extras", np.array(self.extras, np.int64))


class Participant(_Known):
    def online(self, party: Party, batch: Batch) -> None:
        self.note(party, party.coordinator)
        for size in self.scheme.sizes:
            party.coordinator.send(NAME, np.full(size, size & 0xFF, np.uint8))
            assert party.coordinator.receive(NAME).size == size
        party.answer(np.zeros(batch.size, np.uint8))


class Coordinator(_Known):
    def online(self, party: Party, batch: Batch) -> None:
        self.note(party, party.participant)
        for size in self.scheme.sizes:
            received: Array = party.participant.receive(NAME)
            assert (received == size & 0xFF).all()
            party.participant.send(NAME, received)


@dataclasses.dataclass(frozen=True)
class KnownBytes(Scheme):
    name: ClassVar[str] = "known_bytes"
    title: ClassVar[str] = "for tests of counts"
    card: ClassVar[SchemeCard] = SchemeCard(
        title="Known bytes",
        source="tests",
        taxonomy=("inference", "test"),
        protects="nothing",
        guarantee="none",
        task="inference",
        computation=None,
        communication=None,
        deterministic_bytes=True,
        seeded_answers=True,
    )
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}

    sizes: tuple[int, ...] = (0,)

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        return {}
