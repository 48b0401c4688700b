"""Where the parties get correlations from: a dealer, asked when they are needed or ahead of time."""

from __future__ import annotations

import abc
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from schemes.mpc.correlations import (
    COORDINATOR,
    PARTICIPANT,
    Correlation,
    Stream,
    Values,
    deal,
    draw,
    from_request,
    to_request,
)
from schemes.mpc.ring import Ring
from schemes.mpc.session import Session, ends_with_peer


class Source(abc.ABC):
    """One party's supply of correlations; both ask for the same ones in the same order."""

    def __init__(self) -> None:
        self._ahead: deque[tuple[Correlation, list[Values]]] = deque()

    @abc.abstractmethod
    def fetch(self, correlations: Sequence[Correlation]) -> list[list[Values]]:
        """Shares of new ones."""

    def prefetch(self, correlations: Sequence[Correlation]) -> None:
        """Fetch ahead of time."""
        self._ahead.extend(zip(correlations, self.fetch(correlations), strict=True))

    def take(self, correlations: Sequence[Correlation]) -> Iterator[list[Values]]:
        """Those that were fetched ahead, or new ones if none were."""
        if not correlations:
            return iter([])
        if not self._ahead:
            return iter(self.fetch(correlations))
        taken = [self._ahead.popleft() for _ in correlations]
        assert [correlation for correlation, _ in taken] == list(correlations)
        return iter([shares for _, shares in taken])


class ParticipantSource(Source):
    """All from a stream: nothing is sent to the device."""

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self._stream = Stream(key)

    def fetch(self, correlations: Sequence[Correlation]) -> list[list[Values]]:
        """See `Source.fetch`."""
        return [draw(correlation, PARTICIPANT, self._stream) for correlation in correlations]


class DealtSource(Source):
    """The coordinator's, from a trusted third party: it sends what must fit."""

    def __init__(self, key: bytes, ring: Ring) -> None:
        super().__init__()
        self._stream = Stream(key)
        self._ring = ring

    def fetch(self, correlations: Sequence[Correlation]) -> list[list[Values]]:
        """See `Source.fetch`."""
        client = _ttp_provider().TTPClient.get()
        with ends_with_peer():
            reply = client.ttp_request("deal", None, [to_request(correlation) for correlation in correlations])
        content, start = reply.numpy().view(np.uint8), 0
        found = []
        for correlation in correlations:
            shares = draw(correlation, COORDINATOR, self._stream)
            for part in correlation.determined():
                stop = start + part.n_bytes(self._ring)
                shares.append(part.from_bytes(content[start:stop], self._ring))
                start = stop
            found.append(shares)
        return found


class OwnSource(Source):
    """The coordinator's, made by itself: it knows the participant's masks, so nothing is hidden from it."""

    def __init__(self, own_key: bytes, participant_key: bytes) -> None:
        super().__init__()
        self._streams = Stream(own_key), Stream(participant_key)
        self._weight_masks: dict[int, Values] = {}

    def fetch(self, correlations: Sequence[Correlation]) -> list[list[Values]]:
        """See `Source.fetch`."""
        dealt = (deal(correlation, *self._streams, self._weight_masks) for correlation in correlations)
        return [drawn + fitting for drawn, fitting in dealt]


def serve(session: Session, coordinator_key: bytes, participant_key: bytes) -> None:
    """Deal, as CrypTen's trusted third party, until the coordinator leaves: CrypTen's own kinds and ours."""
    provider = _ttp_provider()
    streams = Stream(coordinator_key), Stream(participant_key)
    weight_masks: dict[int, Values] = {}

    class Server(provider.TTPServer):  # type: ignore[name-defined, misc]
        """Its constructor serves."""

        def _setup_generators(self) -> None:
            session.watch()
            super()._setup_generators()

        def deal(self, requests: Sequence[Any]) -> torch.Tensor:
            """What the coordinator cannot draw itself, as words."""
            content = b""
            for correlation in map(from_request, requests):
                _, fitting = deal(correlation, *streams, weight_masks)
                parts = zip(correlation.determined(), fitting, strict=True)
                content += b"".join(part.to_bytes(value, session.ring) for part, value in parts)
            return _words(content)

    logging.getLogger().setLevel(logging.WARNING)  # CrypTen logs every request
    Server()


def _words(content: bytes) -> torch.Tensor:
    # An empty tensor cannot be broadcast.
    padded = content.ljust(max(8, -(-len(content) // 8) * 8), b"\0")
    return torch.from_numpy(np.frombuffer(bytearray(padded), np.int64))


def _ttp_provider() -> Any:
    from crypten.mpc.provider import ttp_provider

    return ttp_provider
