"""The engines: who computes on shares, and how its halves and the dealer meet."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol

from ppbench.bundle import Array
from ppbench.models.network import Network
from ppbench.party import Party

if TYPE_CHECKING:
    from schemes.mpc.counts import Counts
    from schemes.mpc.scheme import Mpc

ENGINES = {
    "crypten": "schemes.mpc.crypten_engine",
    "stock": "schemes.mpc.crypten_engine",
    "spu": "schemes.mpc.spu.joining",
}
"""Name -> module with what `Engine` asks for; it is imported only by the parties that use it."""


class Half(Protocol):
    """One party's half of the inference; the other makes the other half and calls the same methods."""

    def offline(self, n: int) -> None:
        """What can be had before there is a batch of n samples."""

    def infer(self, n: int, samples: Array | None) -> Array | None:
        """(n, d) in [0, 1] at the participant -> logits (n, classes) or labels (n,), at the participant."""

    def counts(self) -> Counts:
        """What the engine says it did so far."""

    def close(self) -> None:
        """Leave."""


class Dealing(Protocol):
    """The dealer's part."""

    def serve(self) -> None:
        """Deal until the coordinator leaves."""


class Engine(Protocol):
    """A module that has both."""

    def import_library(self) -> None:
        """Import what a half computes with."""

    def import_dealers_library(self) -> None:
        """Import what the dealer deals with."""

    def join(self, scheme: Mpc, party: Party, network: Network) -> Half:
        """Meet the other half, with the network's weights at the coordinator and zeros at the participant."""

    def dealer(self, scheme: Mpc, party: Party) -> Dealing:
        """Get ready to deal."""


def load(engine: str) -> Engine:
    """The engine's module."""
    module: Engine = importlib.import_module(ENGINES[engine])
    return module
