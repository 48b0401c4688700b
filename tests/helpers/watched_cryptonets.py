"""CryptoNets whose parties tell the test what they hold, and one that is broken on purpose and gives its key away."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.he import seal
from ppbench.party import Party
from ppbench.scheme import Role
from schemes.cryptonets import CryptoNets, scheme
from tests.helpers.held_keys import HOLDS_KEY, KEY, holds


def secret_key(client: Any) -> Any:
    """SEAL's secret key of a client of either engine."""
    if hasattr(client, "_generator"):
        return client._generator.secret_key()
    return client._context.secret_key().data


def decrypts(thing: Any) -> bool:
    """Whether an object, or what it holds on its attributes, has or can make a secret key."""
    return holds(thing, _is_key, depth=4)


def _is_key(thing: Any) -> bool | None:
    if type(thing).__name__ in ("SecretKey", "KeyGenerator", "Decryptor"):
        return True
    if hasattr(thing, "has_secret_key"):
        return bool(thing.has_secret_key() or thing.is_private())
    return None


class Participant(scheme.Participant):
    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        party.observe(KEY, seal.save(secret_key(self.client)))


class Coordinator(scheme.Coordinator):
    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        party.observe(HOLDS_KEY, np.array(decrypts(self)))


@dataclasses.dataclass(frozen=True)
class Watched(CryptoNets):
    """Sound; only the views say more."""

    name: ClassVar[str] = "watched_cryptonets"
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}


class CarelessParticipant(Participant):
    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        party.coordinator.send("more keys", self._more_keys())

    def _more_keys(self) -> Array:
        if self.scheme.engine == "sealapi":
            return seal.save(secret_key(self.client))
        return np.frombuffer(self.client._context.serialize(save_secret_key=True), np.uint8)  # type: ignore[attr-defined]


class CarelessCoordinator(Coordinator):
    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        self.more_keys = self._loaded(party.participant.receive("more keys"))
        party.observe(HOLDS_KEY, np.array(decrypts(self)))

    def _loaded(self, keys: Array) -> Any:
        import tenseal
        import tenseal.sealapi as sealapi

        if self.scheme.engine == "tenseal":
            return tenseal.context_from(keys.tobytes())
        (server,) = self.servers.values()
        return seal.load(sealapi.SecretKey(), server._context, keys)  # type: ignore[attr-defined]


@dataclasses.dataclass(frozen=True)
class Careless(CryptoNets):
    """Broken: the participant sends its secret key along."""

    name: ClassVar[str] = "careless_cryptonets"
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {
        "participant": CarelessParticipant,
        "coordinator": CarelessCoordinator,
    }
