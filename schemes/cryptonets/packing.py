"""What a packing is: how samples stand in ciphertexts, and the network computed on them, with one engine."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, cast

from ppbench.bundle import Array
from ppbench.models.network import Network
from ppbench.scheme import TaskFacts
from schemes.cryptonets.parameters import Parameters

if TYPE_CHECKING:
    from schemes.cryptonets.scheme import CryptoNets

MODULES = {
    ("sealapi", "latency"): "schemes.cryptonets.latency",
    ("sealapi", "throughput"): "schemes.cryptonets.throughput",
    ("tenseal", "latency"): "schemes.cryptonets.latency_tenseal",
    ("tenseal", "throughput"): "schemes.cryptonets.throughput_tenseal",
}
"""(engine, packing) -> module with what `Packing` asks for."""


class Client(Protocol):
    """The participant's part: the only one that has the secret key."""

    def public_material(self) -> list[Array]:
        """What the server computes with, uint8 arrays: evaluation keys, never the secret key."""

    def encrypt(self, samples: Array) -> list[Array]:
        """(n, d) float32 in [0, 1] -> the arrays of one message."""

    def decrypt(self, arrays: Sequence[Array]) -> Array:
        """What `Server.evaluate` made -> logits (n, classes)."""


class Server(Protocol):
    """The coordinator's part: the network, and keys that cannot decrypt."""

    def load(self, public_material: Sequence[Array]) -> None:
        """Take what a client made public. Raises ProtocolError if it is something else."""

    def evaluate(self, arrays: Sequence[Array]) -> list[Array]:
        """What `Client.encrypt` made -> the encrypted logits, as the arrays of one message."""


class Packing(Protocol):
    """A module of this package. It imports with numpy alone; `tenseal` only when a client or a server is made."""

    def Client(self, scheme: CryptoNets, task: TaskFacts) -> Client:
        """A client, with keys that the operating system's randomness made."""

    def Server(self, scheme: CryptoNets, network: Network) -> Server:
        """A server, still without keys."""

    def check(self, scheme: CryptoNets, network: Network, task: TaskFacts) -> None:
        """Raise ConfigError, naming option and range, unless options, network and task go together."""

    def largest_logit(self, scheme: CryptoNets, task: TaskFacts) -> float:
        """The |logit| beyond which a result may wrap."""

    def parameters(self, scheme: CryptoNets) -> Parameters:
        """The scheme's own, or the recommended ones."""


def load(engine: str, packing: str) -> Packing:
    """The module for an engine and a packing."""
    return cast(Packing, importlib.import_module(MODULES[engine, packing]))
