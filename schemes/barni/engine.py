"""What an engine is: additively homomorphic encryption, and linear layers computed on it."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from ppbench.bundle import Array
from ppbench.scheme import TaskFacts
from schemes.barni.linear import LinearLayer
from schemes.barni.plan import Plan

if TYPE_CHECKING:
    from schemes.barni.scheme import Barni

MODULES = {"ckks": "schemes.barni.ckks", "paillier": "schemes.barni.paillier"}
"""Engine -> module with what `Engine` asks for."""


Key: TypeAlias = Any
"""A participant's public key, as the engine's library has it."""


class Client(Protocol):
    """The participant's part: the only one that has the secret key."""

    def public_key(self) -> list[Array]:
        """What the server blinds its answers with; nobody can decrypt with it."""

    def encrypt(self, layer: int, values: Array) -> list[Array]:
        """(n, values that go into this linear layer) -> the arrays of one message."""

    def decrypt(self, layer: int, n: int, arrays: Sequence[Array]) -> Array:
        """What `Server.evaluate` made for n samples -> (n, values that come out) float64.

        Raises ProtocolError for anything else.
        """


class Server(Protocol):
    """The coordinator's part: the weights, for all participants, and computing on what it cannot decrypt."""

    def load(self, public_key: Sequence[Array]) -> Key:
        """What a client made public, for `evaluate`. Raises ProtocolError if it is something else."""

    def evaluate(self, key: Key, layer: int, n: int, arrays: Sequence[Array]) -> list[Array]:
        """What the key's client encrypted of n samples -> the encrypted outputs, as the arrays of one message.

        Raises ProtocolError for anything else.
        """


class Engine(Protocol):
    """A module of this package. It imports with numpy alone; its library only when a client or a server is made."""

    def import_library(self) -> None:
        """Import what the engine computes with."""

    def Client(self, scheme: Barni, plan: Plan, task: TaskFacts) -> Client:
        """A client, with keys that the operating system's randomness made."""

    def Server(self, scheme: Barni, layers: Sequence[LinearLayer], task: TaskFacts) -> Server:
        """A server; it makes no keys."""

    def check(self, scheme: Barni, layers: Sequence[LinearLayer]) -> None:
        """Raise ConfigError, naming option and range, unless options and layers go together; no key is made."""

    def largest_output(self, scheme: Barni) -> float:
        """The absolute value of a linear layer's output beyond which it may wrap."""

    def resident_bytes(self, scheme: Barni) -> float:
        """The least that encrypting and decrypting works on, however many ciphertexts there are."""


def load(name: str) -> Engine:
    """The module of an engine."""
    return cast(Engine, importlib.import_module(MODULES[name]))
