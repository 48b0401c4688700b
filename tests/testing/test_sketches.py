"""The contract carries the designs it was made for: each sketch runs through the public door."""

from __future__ import annotations

import venv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ppbench import bundle
from ppbench.bundle import Tree
from ppbench.data.digits import Digits
from ppbench.measure import experiment
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.models.mlp import Mlp
from ppbench.models.model import Model
from ppbench.records import JobRecord
from ppbench.scheme import Scheme
from ppbench.testing import check_scheme
from tests.sketches import lwe
from tests.sketches.barni import Barni
from tests.sketches.common import LeastSquares
from tests.sketches.cryptonets import EVALUATION_KEY_BYTES, CryptoNets
from tests.sketches.dealer import WithDealer
from tests.sketches.elsewhere import Elsewhere
from tests.sketches.engine import WithEngine
from tests.sketches.k_anonymity import QUASI_IDENTIFIERS, KAnonymity
from tests.sketches.projections import Projections
from tests.sketches.secure_aggregation import VICTIM, SecureAggregation

D, N_CLASSES = 64, 10


class Ran:
    """A job that ended well."""

    def __init__(self, record: JobRecord, folder: Path) -> None:
        assert record.status == "ok", record.reason
        self.record = record
        self.folder = folder

    def total(self, stage: str, metric: str, party: str | None = None, peer: str | None = None) -> float:
        return sum(
            r.value
            for r in self.record.records
            if (r.stage, r.metric) == (stage, metric) and party in (None, r.party) and peer in (None, r.peer)
        )

    def sources(self, stage: str) -> set[str | None]:
        return {r.source for r in self.record.records if r.stage == stage and r.metric == "payload_bytes_sent"}

    def published(self, party: str) -> Tree:
        return bundle.load(self.folder / "published" / f"{party}.npz")

    def view(self, party: str) -> list[Tree]:
        view: list[Tree] = bundle.load(self.folder / "views" / f"{party}.npz")
        return view


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Ran]:
    def run(scheme: Scheme, model: Model | None = None, view_batches: int = 0, **task: int) -> Ran:
        job = Job(
            scheme,
            Digits(),
            model or LeastSquares(),
            TaskOptions(**task),
            MeasureOptions(warmup_batches=0, repetitions=1, deadline_s=60, view_batches=view_batches),
        )
        record = experiment.run(job, tmp_path)
        return Ran(record, tmp_path / record.folder)

    return run


def test_cryptonets_sends_keys_once_and_ciphertexts_both_ways(run: Callable[..., Ran]) -> None:
    ran = run(CryptoNets(), view_batches=1, n_samples=20, batch_size=8)
    ciphertext = 8 * (lwe.DIMENSION + 1)
    assert ran.total("setup", "message_bytes_sent", "participant-0") == EVALUATION_KEY_BYTES
    assert ran.total("online", "message_bytes_sent", "participant-0") == 20 * D * ciphertext
    assert ran.total("online", "message_bytes_sent", "coordinator") == 20 * N_CLASSES * ciphertext
    assert ran.total("online", "rounds") == 2
    assert ran.total("online", "agreement") >= 0.95
    received = [(entry["name"], entry["arrays"][0].nbytes) for entry in ran.view("coordinator")]
    assert received == [("evaluation key", EVALUATION_KEY_BYTES), ("samples", 8 * D * ciphertext)]


def test_barni_takes_two_rounds_for_each_linear_layer(run: Callable[..., Ran]) -> None:
    ran = run(Barni(), Mlp(), n_samples=20, batch_size=8)
    assert ran.total("online", "rounds") == 2 * 2
    assert ran.total("online", "agreement") >= 0.95
    assert ran.total("online", "messages_sent", "coordinator") == 2 * 3


@pytest.mark.parametrize("ahead", [False, True])
def test_a_dealer_answers_on_demand_and_is_counted_apart(run: Callable[..., Ran], ahead: bool) -> None:
    ran = run(WithDealer(ahead=ahead), n_participants=2, n_samples=20, batch_size=8)
    assert ran.total("online", "agreement") >= 0.95
    # Samples and opened shares go up at once, opened shares and the score go down at once.
    assert ran.total("online", "rounds") == 2
    shares = 8 * (20 * D + 20 * D + 4 * D * N_CLASSES)
    assert ran.total("online", "message_bytes_sent", "participant-0", "coordinator") == shares / 2
    triples = 2 * 8 * (20 * D + 4 * D * N_CLASSES + 20 * N_CLASSES)
    dealt, other = ("offline", "online") if ahead else ("online", "offline")
    assert ran.total(dealt, "message_bytes_sent", "dealer") == triples
    assert ran.total(other, "message_bytes_sent", "dealer") == 0
    assert ran.total(dealt, "messages_received", "dealer", "coordinator") == 4


def test_an_engines_own_sockets_are_counted_to_the_byte(run: Callable[..., Ran]) -> None:
    ran = run(WithEngine(), view_batches=1, n_participants=2, n_samples=40, batch_size=8)
    for participant in ("participant-0", "participant-1"):
        assert ran.total("online", "payload_bytes_sent", participant, "coordinator") == 20 * D
        assert ran.total("online", "payload_bytes_received", participant, "coordinator") == 20
        assert ran.total("online", "payload_bytes_sent", "coordinator", participant) == 20
        assert ran.total("online", "payload_bytes_received", "coordinator", participant) == 20 * D
        assert ran.total("online", "messages_sent", participant) == 0
        assert ran.total("online", "engine_bytes", participant) == 20 * (D + 1)
    assert ran.total("online", "engine_bytes", "coordinator") == 0
    assert ran.sources("online") == {"tcp_info+engine_tcp_info"}
    assert ran.total("online", "rounds") == 2
    assert ran.total("online", "agreement") == 1
    assert [entry["name"] for entry in ran.view("coordinator")] == ["masked samples"] * 2


def test_parties_run_in_an_environment_of_their_own(run: Callable[..., Ran], tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False)
    (packages,) = environment.glob("lib/python*/site-packages")
    # What such an environment has of its own: here a loan of numpy.
    (packages / "numpy").symlink_to(Path(np.__file__).parent)
    (packages / "numpy.libs").symlink_to(Path(np.__file__).parent.with_name("numpy.libs"))
    scheme = Elsewhere(python=str(environment / "bin" / "python"))
    (watched,) = check_scheme(scheme, model=LeastSquares(), only=["parties_live_in_processes_of_their_own"])
    assert watched.passed, watched
    ran = run(scheme, n_samples=4)
    for party in ("coordinator", "participant-0"):
        told = {name: array.tobytes().decode() for name, array in ran.published(party).items()}
        assert told["prefix"] == str(environment)
        assert not Path(told["path"]).exists(), "the links are left behind"


@pytest.mark.slow
def test_a_hundred_participants_share_host_processes(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    # Each process prints something, so each keeps a log.
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    ran = run(Projections(), n_participants=100, participants_per_process=25, n_samples=200, batch_size=2)
    assert ran.total("online", "n_answers") == 200
    assert ran.total("online", "accuracy") > 0.3
    n_train = len(Digits().load().train)
    assert ran.total("train", "message_bytes_received", "coordinator") == n_train * (4 * Projections().width + 1)
    assert {r.party for r in ran.record.records if r.metric == "cpu_s" and r.stage == "online"} == {
        "coordinator",
        *(f"participant-{i}" for i in range(100)),
    }
    assert len(list((ran.folder / "logs").iterdir())) == 1 + 4


@pytest.mark.parametrize("dies", ["no", "exit", "kill"])
def test_secure_aggregation_goes_on_when_a_participant_drops_out(run: Callable[..., Ran], dies: str) -> None:
    ran = run(SecureAggregation(dies=dies), n_participants=4, n_samples=40, batch_size=16)
    dropped = [] if dies == "no" else [f"participant-{VICTIM}"]
    assert [r.party for r in ran.record.records if r.metric == "dropped"] == dropped
    train = Digits().load().train
    parts = np.array_split(np.random.default_rng(0).permutation(len(train)), 4)
    survivors = np.concatenate([part for i, part in enumerate(parts) if dies == "no" or i != VICTIM])
    expected = np.array([train.samples[survivors][train.labels[survivors] == label].sum(axis=0) for label in range(10)])
    assert np.array_equal(ran.published("coordinator")["sum"][:, :-1], expected)
    assert ran.total("online", "n_answers") == 40 - 10 * len(dropped)
    assert ran.total("online", "accuracy") > 0.7
    # Keys up, keys down; then updates up, who dropped out down, masks up, means down.
    assert (ran.total("setup", "rounds"), ran.total("train", "rounds")) == (2, 4)


def test_k_anonymity_publishes_a_table_and_answers_nothing(run: Callable[..., Ran]) -> None:
    k = 7
    ran = run(KAnonymity(k=k), n_participants=2, n_samples=10)
    table = ran.published("coordinator")
    described = np.hstack([table["low"], table["high"]])
    _, group, sizes = np.unique(described, axis=0, return_inverse=True, return_counts=True)
    assert sizes.min() >= k
    train = Digits().load().train
    assert len(group) == len(train)
    assert ran.total("train", "message_bytes_received", "proxy") == len(train) * (len(QUASI_IDENTIFIERS) + 1)
    # What the proxy hands on to the coordinator goes over no participant's link.
    assert ran.total("train", "rounds") == 1
    assert not any(r.stage == "online" for r in ran.record.records)
