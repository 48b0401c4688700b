"""Both halves of a protocol in one process, each in a thread: only the wire between them is not the real one."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch

from ppbench.bundle import Array
from ppbench.models.network import Network
from schemes.mpc import Mpc, lean
from schemes.mpc.correlations import COORDINATOR, PARTICIPANT, Correlation, Part, Stream, Values
from schemes.mpc.counts import Counts
from schemes.mpc.outline import outline, weightless
from schemes.mpc.ring import Ring
from schemes.mpc.session import Session
from schemes.mpc.source import OwnSource, ParticipantSource, Source
from tests.helpers.ends import LONGEST_S, at_once

T = TypeVar("T")
KEYS = (b"the coordinator ", b"the participant ")
"""Of the masks: the same ones in every run, so that a test that depends on chance passes or fails for good."""


class InMemory(Session):
    """A session whose transfers go through queues, and that keeps what it opens and what it sees."""

    def __init__(self, rank: int, ring: Ring, inbox: queue.Queue[Array], outbox: queue.Queue[Array]) -> None:
        self.rank = rank
        self.ring = ring
        self.opened: list[Array] = []
        """All arrays sent, in order."""
        self.seen: list[tuple[str, Array]] = []
        """All that was received, as the view gets it."""
        self.n_rounds = 0
        self._observe = lambda name, words: self.seen.append((name, words.copy()))
        self._inbox = inbox
        self._outbox = outbox

    def exchange(self, name: str, *arrays: Array) -> list[Array]:
        self.opened += [array.copy() for array in arrays]
        return super().exchange(name, *arrays)

    def send(self, *arrays: Array) -> None:
        self.opened += [array.copy() for array in arrays]
        super().send(*arrays)

    def counts(self) -> Counts:
        return Counts(self.n_rounds)

    def _transfer(self, outgoing: Array | None, incoming: Array | None) -> None:
        if outgoing is not None:
            self._outbox.put(outgoing.copy())
        if incoming is not None:
            incoming[:] = self._inbox.get(timeout=LONGEST_S / 2)
        self.n_rounds += 1


class Unmasked(Stream):
    """Deals zeros: with it, what is opened is what should have been hidden."""

    def draw(self, part: Part) -> Values:
        return super().draw(part) * 0


class Supply(OwnSource):
    """The coordinator's supply, which counts how often it is asked."""

    def __init__(self, keys: tuple[bytes, bytes]) -> None:
        super().__init__(*keys)
        self.n_fetches = 0

    def fetch(self, correlations: Sequence[Correlation]) -> list[list[Values]]:
        self.n_fetches += 1
        return super().fetch(correlations)


def between(
    ring: Ring,
    program: Callable[[InMemory, Source], T],
    keys: tuple[bytes, bytes] = KEYS,
    masked: bool = True,
) -> tuple[T, T]:
    """Run the same program at the coordinator and at the participant; what it returns at each."""
    queues: tuple[queue.Queue[Array], queue.Queue[Array]] = queue.Queue(), queue.Queue()
    sessions = InMemory(COORDINATOR, ring, *queues), InMemory(PARTICIPANT, ring, *reversed(queues))
    own, participants = Supply(keys), ParticipantSource(keys[PARTICIPANT])
    if not masked:
        own._streams = Unmasked(keys[COORDINATOR]), Unmasked(keys[PARTICIPANT])
        participants._stream = Unmasked(keys[PARTICIPANT])
    results: dict[int, T] = {}

    def run(session: InMemory, source: Source) -> None:
        results[session.rank] = program(session, source)

    at_once(lambda: run(sessions[0], own), lambda: run(sessions[1], participants))
    return results[COORDINATOR], results[PARTICIPANT]


def shares_of(numbers: Array, ring: Ring, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers as two shares, with anything at all in the bits beyond the ring's."""
    random = np.random.default_rng(seed)
    anything = random.integers(-(2**63), 2**63, (2, *numbers.shape), np.int64)
    beyond = anything[1] & ~np.int64(2**ring.bits - 1) if ring.bits < 64 else np.int64(0)
    return torch.from_numpy(anything[0]), torch.from_numpy(numbers.astype(np.int64) - anything[0] + beyond)


def number_of(ring: Ring, shares: Sequence[torch.Tensor]) -> Array:
    """What two shares stand for."""
    whole: Array = ring.signed(shares[0] + shares[1]).numpy()
    return whole


class Inference:
    """A network on shares: answers, and both parties' sessions and sources to look into."""

    def __init__(
        self, scheme: Mpc, network: Network, *batches: Array, keys: tuple[bytes, bytes] = KEYS, masked: bool = True
    ) -> None:
        self.answers: list[Array] = []
        """One array a batch."""
        self.n_rounds: list[int] = []
        """The participant's: of setting up, then of each batch."""
        self.n_fetches: list[int] = []
        """How often the coordinator asked for correlations: in setup, offline, and for each batch."""
        self.sessions: list[InMemory] = []

        def program(session: InMemory, source: Source) -> InMemory:
            at_coordinator = session.rank == COORDINATOR
            known = network if at_coordinator else weightless(outline(network))
            half = lean.Half(scheme, known, session, source)
            counted = [session.n_rounds]
            fetched = [self._fetches(source)]
            for batch in batches:
                half.offline(len(batch))
            fetched.append(self._fetches(source))
            for batch in batches:
                answers = half.infer(len(batch), None if at_coordinator else batch)
                assert (answers is None) == at_coordinator
                if answers is not None:
                    self.answers.append(answers)
                counted.append(session.n_rounds)
                fetched.append(self._fetches(source))
            if at_coordinator:
                self.n_fetches = np.diff(fetched, prepend=0).tolist()
            else:
                self.n_rounds = np.diff(counted, prepend=0).tolist()
            return session

        self.sessions = list(between(scheme.ring, program, keys, masked))

    @staticmethod
    def _fetches(source: Source) -> int:
        return source.n_fetches if isinstance(source, Supply) else 0
