"""How the halves of SPU and its dealer meet: an address for each party to listen on, and one for the dealer."""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING

import numpy as np

from ppbench.bundle import Array
from ppbench.models.network import Network
from ppbench.party import Party
from ppbench.scheme import COORDINATOR
from schemes.mpc.counts import Counts
from schemes.mpc.spu import engine
from schemes.mpc.spu.dealer import Dealer
from schemes.mpc.spu.engine import DealerAt, SpuEngine

if TYPE_CHECKING:
    from schemes.mpc.scheme import Mpc

_RELEASED_S = 0.05


def import_library() -> None:
    """See `engines.Engine`."""
    engine.import_spu()
    for module in ("jax.numpy", "spu.experimental", "spu.utils.frontend"):
        importlib.import_module(module)


def import_dealers_library() -> None:
    """The dealer needs AES alone."""
    importlib.import_module("cryptography.hazmat.primitives.ciphers")


def join(scheme: Mpc, party: Party, network: Network) -> Half:
    """See `engines.Engine`."""
    coordinates = party.name == COORDINATOR
    peer = party.participant if coordinates else party.coordinator
    made = SpuEngine(
        engine.COORDINATOR if coordinates else engine.PARTICIPANT,
        [party.engine(peer, listener=name) for name in sorted((party.name, peer.peer))],
        network,
        "cheetah" if scheme.protocol == "cheetah" else "semi2k",
        _dealer_at(party) if scheme.has_dealer else None,
        open_once=scheme.weights == "open_once",
        labels_only=scheme.reveal == "argmax",
        fraction_bits=scheme.precision,
    )
    # What is done once, such as CHEETAH's base oblivious transfers, belongs to the setup.
    made.warm_up(party.task.batch_size)
    return Half(made, party)


def dealer(scheme: Mpc, party: Party) -> Dealing:
    """See `engines.Engine`."""
    return Dealing(party)


class Half:
    """See `engines.Half`."""

    def __init__(self, made: SpuEngine, party: Party) -> None:
        self._engine = made
        self._party = party

    def offline(self, n: int) -> None:
        """Compile for batches of this size; SPU asks its dealer when it needs something."""
        self._engine.offline(n)

    def infer(self, n: int, samples: Array | None) -> Array | None:
        """See `engines.Half`."""
        before = self._engine.statistics()
        found = self._engine.infer(n, samples)
        received = self._engine.statistics() - before
        # What SPU receives it does not show; the view says how much of it there was.
        self._party.observe("bytes received by SPU", np.array(received.bytes_received))
        return found

    def counts(self) -> Counts:
        """By SPU's own count, without the dealer's traffic."""
        counted = self._engine.statistics()
        return Counts(counted.n_rounds, counted.bytes_sent + counted.bytes_received)

    def close(self) -> None:
        """Nothing: SPU's own shutdown would end the process."""


class Dealing:
    """SEMI2K's trusted third party."""

    def __init__(self, party: Party) -> None:
        address = party.engine(party.coordinator, party.participant, listener=party.name)
        self._party = party
        self._dealer = Dealer(address, lambda body: party.observe("request", np.frombuffer(body, np.uint8)))
        self._dealer.start()
        for peer in (party.coordinator, party.participant):
            peer.send("dealer's public key", np.frombuffer(self._dealer.public_key.encode(), np.uint8))

    def serve(self) -> None:
        """Its own threads answer."""
        while not self._party.released:
            time.sleep(_RELEASED_S)
        self._dealer.close()


def _dealer_at(party: Party) -> DealerAt:
    others = [party.to("dealer"), party.participant if party.name == COORDINATOR else party.coordinator]
    address = party.engine(*others, listener="dealer")
    return DealerAt(address, party.to("dealer").receive("dealer's public key").tobytes().decode())
