"""Training is rehearsed on few samples before it is measured, and nothing of the rehearsal is left in the record."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from ppbench import bundle
from ppbench.errors import ProtocolError
from ppbench.party import Party
from ppbench.records import JobRecord, Record
from ppbench.scheme import COORDINATOR, Role, Shard
from tests.helpers import measured
from tests.sketches.common import LeastSquares
from tests.sketches.federated_averaging import Coordinator, FederatedAveraging, Participant
from tests.sketches.secure_aggregation import VICTIM, SecureAggregation

measure = functools.partial(measured.measure, model=LeastSquares(), n_samples=40, batch_size=4)
N_SHARD = 10

trained: list[int] = []
"""How many samples the shards had that this process has trained on."""


class Remembering(Participant["Remembered"]):
    """Publishes what its process has done, and what its role has."""

    n_setups = 0

    def setup(self, party: Party, artifacts: Any) -> None:
        self.n_setups += 1

    def train(self, party: Party, shard: Shard | None) -> None:
        assert shard is not None
        if len(shard.labels) < self.scheme.least:
            raise ProtocolError("too few samples")
        trained.append(len(shard.labels))
        party.publish("trained", np.array(trained))
        party.publish("setups", np.array(self.n_setups))
        super().train(party, shard)


@dataclasses.dataclass(frozen=True)
class Remembered(FederatedAveraging):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Remembering, COORDINATOR: Coordinator}

    least: int = 0
    """Samples without which a participant fails."""


run = functools.partial(measure, n_participants=2, n_train_samples=2 * N_SHARD)


def published(record: JobRecord, folder: Path) -> dict[str, Any]:
    """By the first participant."""
    found: dict[str, Any] = bundle.load(folder / record.folder / "published" / "participant-0.npz")
    return found


def exact(record: JobRecord) -> list[Record]:
    """What does not depend on how busy the machine is."""
    inexact = ("_s", "rss_bytes")
    return sorted((r for r in record.records if not r.metric.endswith(inexact)), key=repr)


@pytest.mark.parametrize(("warmup_batches", "rehearsed"), [(0, []), (2, [8]), (100, [N_SHARD])])
def test_a_process_has_trained_on_the_first_batches_of_its_shard_before_and_the_role_has_not(
    tmp_path: Path, warmup_batches: int, rehearsed: list[int]
) -> None:
    told = published(run(Remembered(), tmp_path, warmup_batches=warmup_batches), tmp_path)
    assert told["trained"].tolist() == [*rehearsed, N_SHARD]
    assert told["setups"] == 1


def test_a_rehearsal_changes_no_byte_no_step_and_no_answer(tmp_path: Path) -> None:
    scheme = FederatedAveraging(n_chosen=1)
    cold, warm = (run(scheme, tmp_path / str(n), warmup_batches=n, wire="memory") for n in (0, 1))
    assert exact(warm) == exact(cold)


def test_what_cannot_be_rehearsed_on_few_samples_is_measured_in_fresh_processes(tmp_path: Path) -> None:
    told = published(run(Remembered(least=N_SHARD), tmp_path, warmup_batches=1), tmp_path)
    assert told["trained"].tolist() == [N_SHARD]


def test_training_that_fails_in_earnest_fails_the_job(tmp_path: Path) -> None:
    scheme = Remembered(least=N_SHARD + 1)
    record = measured.attempt(
        scheme, tmp_path, model=LeastSquares(), n_train_samples=N_SHARD, warmup_batches=1, wire="memory"
    )
    assert record.reason.startswith("participant-0 failed in train: too few samples")


def test_who_drops_out_in_training_drops_out_of_what_is_measured(tmp_path: Path) -> None:
    records = [
        measure(SecureAggregation(dies="exit"), tmp_path / str(n), warmup_batches=n, n_participants=3) for n in (0, 1)
    ]
    dropped = [[r.party for r in record.records if r.metric == "dropped"] for record in records]
    assert dropped == [[f"participant-{VICTIM}"]] * 2
    cold, warm = ([r for r in exact(record) if r.stage == "train"] for record in records)
    assert warm == cold
