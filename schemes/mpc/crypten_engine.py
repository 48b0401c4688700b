"""How the parties of CrypTen's world meet: gloo among all, and keys of the masks from who deals."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

import numpy as np

from ppbench.models.network import Network
from ppbench.party import Party
from ppbench.scheme import COORDINATOR
from ppbench.wire.channel import Channel
from schemes.mpc import lean, session, source, stock
from schemes.mpc.compat import load_crypten
from schemes.mpc.correlations import KEY_BYTES
from schemes.mpc.engines import Half
from schemes.mpc.session import Session

if TYPE_CHECKING:
    from schemes.mpc.scheme import Mpc


def import_library() -> None:
    """See `engines.Engine`."""
    load_crypten()
    importlib.import_module("cryptography.hazmat.primitives.ciphers")


def import_dealers_library() -> None:
    """CrypTen's dealer is a party of its world."""
    import_library()
    importlib.import_module("crypten.mpc.provider.ttp_provider")


def join(scheme: Mpc, party: Party, network: Network) -> Half:
    """See `engines.Engine`."""
    peer = party.participant if party.name == COORDINATOR else party.coordinator
    others = [peer, party.to("dealer")] if scheme.has_dealer else [peer]
    rank = session.COORDINATOR if party.name == COORDINATOR else session.PARTICIPANT
    world = Session(rank, party.engine(*others), scheme.provider, scheme.ring, scheme.precision, party.observe)
    masks = _masks(scheme, party, rank, peer) if scheme.engine == "crypten" else None
    world.join()
    return lean.Half(scheme, network, world, masks) if masks else stock.Half(scheme, network, world)


def dealer(scheme: Mpc, party: Party) -> Dealing:
    """See `engines.Engine`."""
    return Dealing(scheme, party)


class Dealing:
    """CrypTen's trusted third party."""

    def __init__(self, scheme: Mpc, party: Party) -> None:
        address = party.engine(party.coordinator, party.participant)
        self._world = Session(session.DEALER, address, scheme.provider, scheme.ring, scheme.precision, party.observe)
        self._keys = []
        for peer in (party.coordinator, party.participant):
            self._keys.append(_new_key(peer) if scheme.engine == "crypten" else os.urandom(KEY_BYTES))

    def serve(self) -> None:
        """See `engines.Dealing`."""
        source.serve(self._world, *self._keys)


def _masks(scheme: Mpc, party: Party, rank: int, peer: Channel) -> source.Source:
    if scheme.has_dealer:
        key = party.to("dealer").receive("key of masks").tobytes()
        return source.ParticipantSource(key) if rank == session.PARTICIPANT else source.DealtSource(key, scheme.ring)
    if rank == session.PARTICIPANT:
        return source.ParticipantSource(peer.receive("key of masks").tobytes())
    return source.OwnSource(os.urandom(KEY_BYTES), _new_key(peer))


def _new_key(peer: Channel) -> bytes:
    key = os.urandom(KEY_BYTES)
    peer.send("key of masks", np.frombuffer(key, np.uint8))
    return key
