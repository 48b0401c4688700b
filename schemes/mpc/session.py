"""One party in CrypTen's world: who it is, how it reaches the other, and what CrypTen counts of it."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from ppbench.bundle import Array
from ppbench.errors import PeerGone
from ppbench.wire.interfaces import interface_towards
from schemes.mpc.compat import load_crypten
from schemes.mpc.counts import Counts
from schemes.mpc.ring import Ring

CrypTen: TypeAlias = Any
"""An object of CrypTen's, which has no type stubs."""
COORDINATOR, PARTICIPANT, DEALER = 0, 1, 2
"""Ranks. Rank 0 alone talks with CrypTen's dealer, and the device is not to download what the cloud can."""
_N_PARTIES = 2
_WORD_BYTES = 8
_BROKEN = re.compile(r"gloo|connect|timed? ?out|broken pipe|reset by peer", re.IGNORECASE)
"""In torch's words for a connection that broke or never came."""


class Session:
    """A member of a world of two parties and, with a trusted third party, the dealer. One can live in a process."""

    def __init__(
        self,
        rank: int,
        address: tuple[str, int],
        provider: str,
        ring: Ring,
        precision_bits: int,
        observe: Callable[[str, Array], None],
    ) -> None:
        self.rank = rank
        self.ring = ring
        self._observe = observe
        host, port = address
        os.environ.update(
            RANK=str(rank), WORLD_SIZE=str(_N_PARTIES), RENDEZVOUS=f"tcp://{host}:{port}", DISTRIBUTED_BACKEND="gloo"
        )
        os.environ["GLOO_SOCKET_IFNAME"] = interface_towards(host)
        self.crypten = load_crypten()
        self.crypten.cfg.mpc.provider = provider.upper()
        self.crypten.cfg.encoder.precision_bits = precision_bits
        self.crypten.cfg.communicator.verbose = True  # without it CrypTen counts nothing

    def join(self) -> None:
        """Meet the others; the dealer is met by serving. Raises PeerGone if they do not come."""
        with ends_with_peer():
            self.crypten.init()
            self.watch()

    def watch(self) -> None:
        """Put what CrypTen's collective operations receive into the view."""
        for name in ("all_reduce", "reduce", "broadcast", "recv_obj"):
            setattr(self.communicator, name, self._watched(getattr(self.communicator, name)))

    @property
    def communicator(self) -> CrypTen:
        """CrypTen's own, which sends by gloo and counts."""
        return self.crypten.communicator.get()

    def counts(self) -> Counts:
        """What CrypTen counted so far; the coordinator's rounds include its talks with the dealer."""
        return Counts(self.communicator.comm_rounds, int(self.communicator.comm_bytes))

    def exchange(self, name: str, *arrays: Array) -> list[Array]:
        """Send numbers (int64) and bits (uint8), and receive as many of the same shapes: one round."""
        outgoing, incoming = self._packed(arrays), self._packed(arrays)
        with ends_with_peer():
            self._transfer(outgoing, incoming)
        return self._received(name, incoming, arrays)

    def send(self, *arrays: Array) -> None:
        """Send arrays: one round."""
        with ends_with_peer():
            self._transfer(self._packed(arrays), None)

    def receive(self, name: str, *like: Array) -> list[Array]:
        """Receive arrays of these shapes and types: one round."""
        incoming = self._packed(like)
        with ends_with_peer():
            self._transfer(None, incoming)
        return self._received(name, incoming, like)

    def close(self) -> None:
        """Leave; the coordinator's leaving sends the dealer home."""
        with contextlib.suppress(RuntimeError, ValueError):
            self.crypten.uninit()

    def _transfer(self, outgoing: Array | None, incoming: Array | None) -> None:
        """CrypTen would open by an all-reduce, which gloo makes of two messages each way, one after the other."""
        import torch
        import torch.distributed as dist

        peer, group = 1 - self.rank, self.communicator.main_group
        pending = []
        if incoming is not None:
            pending.append(dist.irecv(torch.from_numpy(incoming), src=peer, group=group))
        if outgoing is not None:
            pending.append(dist.isend(torch.from_numpy(outgoing), dst=peer, group=group))
        for transfer in pending:
            assert transfer is not None  # gloo always gives one
            transfer.wait()
        n_words = sum(words.size for words in (outgoing, incoming) if words is not None)
        self.communicator._log_communication(n_words)

    def _received(self, name: str, incoming: Array, like: tuple[Array, ...]) -> list[Array]:
        self._observe(name, incoming)
        content, received, start = incoming.view(np.uint8), [], 0
        for array in like:
            in_ring = array.dtype == np.int64
            n_bytes = array.size * (self.ring.n_bytes if in_ring else 1)
            part = content[start : start + n_bytes]
            received.append(self.ring.unpack(part, array.shape) if in_ring else part.reshape(array.shape))
            start += n_bytes
        return received

    def _packed(self, arrays: tuple[Array, ...]) -> Array:
        """Numbers and bits as one run of words, because CrypTen counts in words; the last one is padded."""
        parts = [self.ring.pack(array) if array.dtype == np.int64 else array.ravel() for array in arrays]
        n_bytes = sum(part.size for part in parts)
        words = np.zeros(-(-n_bytes // _WORD_BYTES), np.int64)
        np.concatenate(parts, out=words.view(np.uint8)[:n_bytes])
        return words

    def _watched(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(operation)
        def watched(*args: Any, **kwargs: Any) -> Any:
            result = operation(*args, **kwargs)
            for value in result if isinstance(result, list) else [result]:
                if value is not None:
                    shown = value.numpy() if hasattr(value, "numpy") else np.frombuffer(repr(value).encode(), np.uint8)
                    self._observe(operation.__name__, shown)
            return result

        return watched


@contextlib.contextmanager
def ends_with_peer() -> Iterator[None]:
    """Inside, gloo's complaint that a connection broke is PeerGone."""
    try:
        yield
    except RuntimeError as error:
        if not _BROKEN.search(str(error)):
            raise
        raise PeerGone(f"CrypTen's peer is gone: {str(error).strip().splitlines()[0].partition('. ')[0]}") from error
