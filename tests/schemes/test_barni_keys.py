"""Barni's keys stay where they were made; a scheme that is broken on purpose is caught."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from ppbench.bundle import Array, Tree
from ppbench.data.digits import Digits
from ppbench.he import seal
from ppbench.measure import experiment
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.models.mlp import Mlp
from ppbench.party import Party
from ppbench.records import JobRecord
from ppbench.scheme import Role
from schemes.barni import Barni, scheme
from tests.helpers.held_keys import HOLDS_KEY, KEY, gave_its_key_away, holds

_HOLDERS = ("SecretKey", "KeyGenerator", "Decryptor", "PaillierPrivateKey", "PaillierPrivateKeyring")


def secret_key(client: Any) -> Array:
    """Of a client of either engine, as bytes: SEAL's serialisation, or one of Paillier's primes."""
    if hasattr(client, "_secret_key"):
        return seal.save(client._secret_key)
    prime = client._private_key.p
    return np.frombuffer(int(prime).to_bytes((prime.bit_length() + 7) // 8, "big"), np.uint8)


def decrypts(thing: Any) -> bool:
    """Whether an object, or what it holds on its attributes, is or has a secret key."""
    return holds(thing, lambda held: True if type(held).__name__ in _HOLDERS else None, depth=5)


class Participant(scheme.Participant):
    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        assert decrypts(self)
        party.observe(KEY, secret_key(self.client))


class Coordinator(scheme.Coordinator):
    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        party.observe(HOLDS_KEY, np.array(decrypts(self)))


@dataclasses.dataclass(frozen=True)
class Watched(Barni):
    """Sound; only the views say more."""

    name: ClassVar[str] = "watched_barni"
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}


class CarelessParticipant(Participant):
    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        party.coordinator.send("more keys", secret_key(self.client))


class CarelessCoordinator(Coordinator):
    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        self.more_keys = self._loaded(party.participant.receive("more keys"))
        party.observe(HOLDS_KEY, np.array(decrypts(self)))

    def _loaded(self, key: Array) -> Any:
        if self.scheme.engine == "ckks":
            import tenseal.sealapi as sealapi

            return seal.load(sealapi.SecretKey(), self.server._ring.context, key)  # type: ignore[attr-defined]
        from phe import PaillierPrivateKey  # type: ignore[import-untyped]

        (public_key,), prime = self.keys.values(), int.from_bytes(key.tobytes(), "big")
        return PaillierPrivateKey(public_key, prime, public_key.n // prime)


@dataclasses.dataclass(frozen=True)
class Careless(Barni):
    """Broken: the participant sends its secret key along."""

    name: ClassVar[str] = "careless_barni"
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {
        "participant": CarelessParticipant,
        "coordinator": CarelessCoordinator,
    }


def run(watched: Barni, folder: Path) -> JobRecord:
    pytest.importorskip("tenseal")
    pytest.importorskip("phe")
    measure = MeasureOptions(repetitions=1, warmup_batches=0, view_batches=1)
    job = Job(watched, Digits(), Mlp(hidden=(4,), epochs=1), TaskOptions(n_samples=1, batch_size=1), measure)
    record = experiment.run(job, folder)
    assert record.status == "ok", record.reason
    return record


def parts_of(key: bytes) -> list[bytes]:
    """SEAL's headers, in all that it writes, do not count."""
    return [key[start : start + 32] for start in range(96, len(key) - 31, 32)]


@pytest.mark.parametrize("engine", ["ckks", "paillier"])
def test_the_coordinator_never_holds_the_key(tmp_path: Path, engine: str) -> None:
    assert not gave_its_key_away(run(Watched(engine=engine), tmp_path), tmp_path, parts_of)
    assert gave_its_key_away(run(Careless(engine=engine), tmp_path), tmp_path, parts_of)
