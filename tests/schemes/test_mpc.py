"""Multi-party computation between processes: what it answers, who sends what to whom, and how it ends."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from ppbench import bundle
from ppbench.bundle import Array
from ppbench.data.digits import Digits
from ppbench.data.mnist import Mnist
from ppbench.errors import ConfigError, DataError
from ppbench.measure import experiment
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.models.lenet import LeNet
from ppbench.models.mlp import Mlp
from ppbench.models.model import Model
from ppbench.models.network import Linear, Network, ReLU
from ppbench.models.square import CryptoNetsModel
from ppbench.party import participant_name
from ppbench.progress import silent
from ppbench.records import JobRecord
from ppbench.report.summary import summary
from ppbench.scheme import COORDINATOR, Task, TaskFacts, TrainedModel
from schemes.mpc import Mpc
from tests.helpers.mpc_faults import FaultyMpc
from tests.helpers.mpc_models import EveryLayer, Heavy

PARTICIPANT, DEALER = participant_name(0), "dealer"
TWO_LAYERS = Mlp(hidden=(16,))
N_SAMPLES, BATCH_SIZE = 20, 8
N_BATCHES = math.ceil(N_SAMPLES / BATCH_SIZE)
LEAN, STOCK = Mpc(), Mpc(engine="stock")
LABELS = Mpc(dealer="prefetch", reveal="argmax")
ALONE = Mpc(provider="tfp", ring_bits=64, precision_bits=18)

pytestmark = pytest.mark.skipif(bool(Mpc.why_not()), reason=str(Mpc.why_not()))


# Without a process.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "crypton"}, "scheme.engine='crypton' is not one of crypten, stock"),
        ({"provider": "none"}, "scheme.provider='none' is not one of ttp, tfp"),
        ({"reveal": "probabilities"}, "scheme.reveal='probabilities' is not one of logits, argmax"),
        ({"precision_bits": 24}, "scheme.precision_bits=24 must be from 8 to 20"),
        ({"precision_bits": 7}, "scheme.precision_bits=7 must be from 8 to 20"),
        ({"ring_bits": 50}, "scheme.ring_bits=50 must be 48, 56 or 64"),
        ({"engine": "stock", "ring_bits": 56}, "scheme.ring_bits=56 is for scheme.engine=crypten"),
        ({"weights": "stock", "ring_bits": 48}, "scheme.ring_bits=48 is for our protocols"),
        ({"engine": "stock", "dealer": "prefetch"}, "scheme.dealer=prefetch is for scheme.engine=crypten"),
        ({"comparison": "stock", "dealer": "prefetch"}, "scheme.dealer=prefetch is for our protocols"),
        ({"engine": "stock", "weights": "stock"}, "scheme.weights=stock is for scheme.engine=crypten"),
        ({"engine": "stock", "pooling": "stock"}, "scheme.pooling=stock is for scheme.engine=crypten"),
        ({"engine": "stock", "comparison": "stock"}, "scheme.comparison=stock is for scheme.engine=crypten"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        Mpc(**options)


def test_it_serves_one_participant() -> None:
    with pytest.raises(ConfigError, match=r"task\.n_participants for scheme=mpc=2 must be from 1 to 1"):
        Job(Mpc(), Digits(), TWO_LAYERS, TaskOptions(n_participants=2))


def task(network: Network) -> Task:
    """The digits, and a network of which nobody asks how good it is."""
    facts = TaskFacts("digits", (8, 8), 16.0, 10, BATCH_SIZE, 1, 0)
    return Task(facts, Digits().load().training, TrainedModel("mine", network, {}), silent)


class Sigmoid:
    """A layer that nobody has a protocol for."""

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape


@pytest.mark.parametrize("scheme", [LEAN, STOCK], ids=["crypten", "stock"])
def test_a_layer_without_a_protocol_is_refused_by_name(scheme: Mpc) -> None:
    random = np.random.default_rng(0)
    layers: Any = (Linear.initial(64, 10, random), Sigmoid(), Linear.initial(10, 10, random))
    with pytest.raises(ConfigError, match="model: layer 1 is Sigmoid; on shares there are Linear, Conv2d, ReLU"):
        scheme.check(task(Network((64,), layers)))


def constant(value: float) -> Network:
    """Compares this number, whatever the sample."""
    first = Linear(np.zeros((10, 64), np.float32), np.full(10, value, np.float32))
    return Network((64,), (first, ReLU(), Linear(np.zeros((10, 10), np.float32), np.zeros(10, np.float32))))


def told_precision(scheme: Mpc, network: Network) -> int | None:
    """The largest precision that the refusal names; None if the network is not refused."""
    try:
        scheme.check(task(network))
    except ConfigError as error:
        told = re.fullmatch(r"scheme\.precision_bits=(\d+): .* (\d+) bits behind the point.*", str(error))
        if told is None or int(told[1]) != scheme.precision:
            raise
        return int(told[2])
    return None


@pytest.mark.parametrize("value", [70_000.0, -70_000.0, 2.0**16, 2.0**17])
@pytest.mark.parametrize("ring_bits", [48, 56, 64])
def test_numbers_too_large_for_the_precision_are_refused_with_one_that_is_not(value: float, ring_bits: int) -> None:
    network, precision = constant(value), 20
    assert told_precision(Mpc(ring_bits=ring_bits, precision_bits=precision), network)
    while told := told_precision(Mpc(ring_bits=ring_bits, precision_bits=precision), network):
        assert told < precision
        precision = told
    assert told_precision(Mpc(ring_bits=ring_bits, precision_bits=precision + 1), network) == precision


def rescaled(factor: float) -> Network:
    """A network that answers the same, its first layer's outputs as many times as large."""
    random = np.random.default_rng(0)
    first, last = Linear.initial(64, 16, random), Linear.initial(16, 10, random)
    layers = (
        Linear(first.weight * np.float32(factor), np.zeros(16, np.float32)),
        ReLU(),
        Linear(last.weight / np.float32(factor), np.zeros(10, np.float32)),
    )
    return Network((64,), layers)


def stretched(network: Network, largest: float = 16.0) -> Task:
    """The digits; the last training sample has values up to `largest`, and so sets the unit."""
    given = task(network)
    samples = given.dataset.train.samples.astype(np.float32)
    samples[-1] *= largest / samples[-1].max()
    facts = dataclasses.replace(given.facts, sample_max=largest)
    dataset = dataclasses.replace(given.dataset, train=dataclasses.replace(given.dataset.train, samples=samples))
    return dataclasses.replace(given, facts=facts, dataset=dataset)


@pytest.mark.parametrize("scheme", [LEAN, STOCK, Mpc(engine="spu")], ids=["crypten", "stock", "spu"])
def test_weights_and_samples_too_small_for_the_precision_are_refused(scheme: Mpc) -> None:
    scheme.check(stretched(rescaled(1)))
    refused = rf"scheme\.precision_bits={scheme.precision}: \d+% of the labels would not be the model's, because layer"
    with pytest.raises(ConfigError, match=rf"{refused} [02] of the model multiplies inputs of about .* by weights"):
        scheme.check(stretched(rescaled(1e-6)))
    with pytest.raises(
        ConfigError, match=rf"{refused} [02] .*; no precision that is allowed is enough: scale the features"
    ):
        scheme.check(stretched(rescaled(1), largest=16e6))


def test_a_precision_that_is_enough_is_told() -> None:
    with pytest.raises(ConfigError, match=r"; (\d+) bits for values and \1 for weights are enough") as refusal:
        Mpc(precision_bits=8).check(stretched(rescaled(4e-3)))
    told = re.search(r"; (\d+) bits", str(refusal.value))
    assert told
    Mpc(precision_bits=int(told[1])).check(stretched(rescaled(4e-3)))


@pytest.mark.parametrize("scheme", [LEAN, STOCK, Mpc(engine="spu")], ids=["crypten", "stock", "spu"])
def test_the_last_sample_too_is_looked_at(scheme: Mpc) -> None:
    given = stretched(rescaled(1))
    samples = given.dataset.train.samples.copy()
    samples[-1] = 16e9
    dataset = dataclasses.replace(given.dataset, train=dataclasses.replace(given.dataset.train, samples=samples))
    with pytest.raises(ConfigError, match=r"scheme\.precision_bits=.* bits behind the point"):
        scheme.check(dataclasses.replace(given, dataset=dataset))


# Between processes.


class Measured(NamedTuple):
    """A job that went well."""

    record: JobRecord
    row: Any
    views: Callable[[str], list[dict[str, Any]]]

    def sent(self, stage: str, sender: str, receiver: str) -> float:
        """Payload in bytes."""
        return self._total(stage, "payload_bytes_sent", sender, receiver)

    def between(self, stage: str, one: str, other: str) -> float:
        """Payload in bytes, both ways."""
        return self.sent(stage, one, other) + self.sent(stage, other, one)

    def engine_bytes(self, stage: str, party: str) -> float:
        """Sent and received, as CrypTen counts them."""
        return self._total(stage, "engine_bytes", party, None)

    def bytes_per_sample(self) -> float:
        """Between the two parties, online."""
        total: float = self.row.up_bytes_per_sample + self.row.down_bytes_per_sample
        return total

    def _total(self, stage: str, metric: str, party: str, peer: str | None) -> float:
        found = [
            record.value
            for record in self.record.records
            if (record.stage, record.metric, record.party, record.peer) == (stage, metric, party, peer)
        ]
        assert found, (stage, metric, party, peer)
        return sum(found)


Run = Callable[..., Measured]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Measure a job on the digits, each job once."""

    @functools.cache
    def measured(scheme: Mpc, model: Model, view_batches: int, n: int, size: int) -> Measured:
        folder = tmp_path_factory.mktemp("results")
        options = MeasureOptions(repetitions=1, view_batches=view_batches)
        record = experiment.run(
            Job(scheme, Digits(), model, TaskOptions(n_samples=n, batch_size=size), options), folder
        )
        assert record.status == "ok", record.reason

        def views(party: str) -> list[dict[str, Any]]:
            entries: list[dict[str, Any]] = bundle.load(folder / record.folder / "views" / f"{party}.npz")
            return entries

        row: pd.Series[Any] = summary([record]).iloc[0]
        return Measured(record, row, views)

    def run(
        scheme: Mpc, model: Model, *, view_batches: int = 0, n: int = N_SAMPLES, size: int = BATCH_SIZE
    ) -> Measured:
        return measured(scheme, model, view_batches, n, size)

    return run


def test_of_a_two_layer_circuit_the_rounds_are_those_counted_by_hand(run: Run) -> None:
    # Ours: each dense layer 1; ReLU the ANDs of both shares' bits 1, merged by 4, 4 and 2: 3, the selection 1; the
    # coordinator's share of the logits 1.
    assert run(LEAN, TWO_LAYERS).row.rounds == 1 + (1 + 3 + 1) + 1 + 1
    # CrypTen's: each dense layer 1 (both masked factors in one all-reduce); ReLU the sum of both shares' bits 1 + 6
    # (64 bits by halves), its topmost bit as a number 1, the product 1; the logits are reduced to the participant 1.
    assert run(STOCK, TWO_LAYERS).row.rounds == 1 + (1 + 6 + 1 + 1) + 1 + 1


@pytest.mark.slow
@pytest.mark.parametrize(("model", "n_views"), [(TWO_LAYERS, 0), (EveryLayer(), 1)], ids=["dense", "every layer"])
def test_both_engines_answer_as_the_model_and_ours_in_a_third_of_the_bytes(
    run: Run, model: Model, n_views: int
) -> None:
    lean, stock = run(LEAN, model, view_batches=n_views), run(STOCK, model)
    for measured in (lean, stock):
        assert measured.row.agreement == 1
        assert 0 < measured.row.largest_logit_error < 0.02
    assert 3 * lean.bytes_per_sample() < stock.bytes_per_sample()


@pytest.mark.slow
@pytest.mark.parametrize(
    "scheme",
    [
        Mpc(weights="stock", pooling="stock"),
        Mpc(comparison="stock", reveal="argmax"),
        Mpc(engine="stock", provider="tfp", reveal="argmax"),
        ALONE,
    ],
    ids=lambda scheme: scheme.variant(),
)
def test_all_mixtures_of_protocols_answer_as_the_model(run: Run, scheme: Mpc) -> None:
    measured = run(scheme, EveryLayer())
    assert measured.row.agreement == 1
    if scheme.reveal == "logits":
        assert 0 < measured.row.largest_logit_error < 0.02


def test_the_dealer_deals_online_when_it_is_asked_on_demand(run: Run) -> None:
    measured = run(LEAN, TWO_LAYERS)
    assert measured.sent("online", DEALER, COORDINATOR) > measured.sent("online", COORDINATOR, DEALER) > 0
    assert measured.between("offline", DEALER, COORDINATOR) == 0
    assert measured.row.third_party_bytes_per_sample > 0
    assert measured.row.offline_bytes_per_sample == 0


@pytest.mark.slow
def test_the_dealer_deals_offline_when_it_is_asked_ahead(run: Run) -> None:
    measured = run(LABELS, EveryLayer(), view_batches=1)
    assert measured.sent("offline", DEALER, COORDINATOR) > measured.sent("offline", COORDINATOR, DEALER) > 0
    assert measured.between("online", DEALER, COORDINATOR) == 0
    assert measured.row.third_party_bytes_per_sample == 0
    assert measured.row.offline_bytes_per_sample > 0


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "n_views"), [(LEAN, 1), (STOCK, 0), (LABELS, 1)], ids=["lean", "stock", "labels"])
def test_the_device_never_talks_with_the_dealer_once_it_has_its_key(run: Run, scheme: Mpc, n_views: int) -> None:
    measured = run(scheme, EveryLayer(), view_batches=n_views)
    assert measured.between("setup", DEALER, PARTICIPANT) > 0
    assert measured.between("offline", DEALER, PARTICIPANT) == 0
    assert measured.between("online", DEALER, PARTICIPANT) == 0


@pytest.mark.slow
def test_without_a_third_party_none_is_started(run: Run) -> None:
    measured = run(ALONE, EveryLayer())
    assert {record.party for record in measured.record.records if record.party} == {PARTICIPANT, COORDINATOR}
    assert pd.isna(measured.row.third_party_bytes_per_sample)
    assert "no privacy" in measured.record.variant


@pytest.mark.parametrize(("scheme", "framing"), [(LEAN, 500), (STOCK, 5000)], ids=["crypten", "stock"])
def test_the_kernel_counts_what_crypten_counts_and_its_framing(run: Run, scheme: Mpc, framing: int) -> None:
    """Gloo puts some 130 bytes around a message, and makes many of an all-reduce: of each round, up to `framing`."""
    measured = run(scheme, TWO_LAYERS)
    counted = measured.engine_bytes("online", PARTICIPANT)
    payload = measured.between("online", PARTICIPANT, COORDINATOR)
    assert 0 < counted < payload < counted + framing * measured.row.rounds * N_BATCHES
    # The coordinator's count has its talks with the dealer in it.
    assert measured.engine_bytes("online", COORDINATOR) > counted
    assert measured.row.engine_bytes_per_sample == pytest.approx(counted / N_SAMPLES)
    assert "engine_tcp_info" in measured.row.bytes_source


def answers_received(measured: Measured) -> list[Array]:
    """The last thing that the participant receives of each batch."""
    return [entry["arrays"][0] for entry in measured.views(PARTICIPANT) if entry["name"] == "share of the answers"]


@pytest.mark.slow
def test_the_label_alone_is_revealed_if_so_asked(run: Run) -> None:
    labels = run(LABELS, EveryLayer(), view_batches=1)
    logits = run(LEAN, EveryLayer(), view_batches=1)
    assert labels.row.agreement == 1
    assert pd.isna(labels.row.largest_logit_error)
    assert not pd.isna(logits.row.largest_logit_error)
    # One number of 7 bytes for each sample, in words of 8, where ten of them would be the logits.
    for measured, per_sample in ((labels, 1), (logits, 10)):
        (received,) = answers_received(measured)
        assert received.nbytes == BATCH_SIZE * per_sample * LEAN.ring.n_bytes
    assert {entry["name"] for entry in labels.views(PARTICIPANT)} == {
        *("outline", "engine", "key of masks", "masked weights"),
        *("masked bits", "masked inputs", "masked bits and values", "share of the answers"),
    }


@pytest.mark.slow
def test_the_coordinator_is_never_shown_a_sample(run: Run) -> None:
    measured = run(LEAN, EveryLayer(), view_batches=1)
    raw = Digits().load().test.samples[:BATCH_SIZE]
    unit = raw / np.float32(16)
    fixed = np.rint(unit * 2.0**LEAN.precision).astype(np.int64)
    messages = [array.tobytes() for entry in measured.views(COORDINATOR) for array in entry["arrays"]]

    def shown(messages: list[bytes]) -> int:
        """How many rows of any image are in a message, in any of the ways that a sample is ever written."""
        rows = [row for image in fixed.reshape(-1, 8, 8) for row in image if np.count_nonzero(row) > 3]
        written = [LEAN.ring.pack(row).tobytes() for row in rows] + [row.tobytes() for row in rows]
        written += [row.tobytes() for images in (raw, unit) for row in images]
        return sum(part in message for part in written for message in messages)

    # The masked samples are there, as long as the samples.
    first = next(entry for entry in measured.views(COORDINATOR) if entry["name"] == "masked inputs")
    in_the_clear = LEAN.ring.pack(fixed).tobytes()
    assert first["arrays"][0].nbytes == len(in_the_clear)
    assert shown([in_the_clear]) > 20
    assert shown(messages) == 0


@pytest.mark.slow
def test_a_full_batch_and_an_odd_one_are_answered(run: Run) -> None:
    measured = run(Mpc(dealer="prefetch"), EveryLayer(), n=300, size=256)
    assert measured.row.n_samples == 300
    assert measured.row.agreement >= 0.99
    assert measured.row.largest_logit_error < 0.02


def test_a_model_with_huge_weights_fails_the_job_before_a_party_starts(tmp_path: Path) -> None:
    record = experiment.run(Job(LEAN, Digits(), Heavy(), TaskOptions(n_samples=2)), tmp_path)
    assert record.status == "failed"
    assert record.reason.startswith("scheme.precision_bits=14: the model compares numbers up to ")
    assert not (tmp_path / record.folder / "logs").exists()


# Faults.


def faulty(scheme: FaultyMpc, folder: Path, deadline_s: float) -> JobRecord:
    options = MeasureOptions(repetitions=1, warmup_batches=0, deadline_s=deadline_s)
    return experiment.run(Job(scheme, Digits(), TWO_LAYERS, TaskOptions(n_samples=20, batch_size=8), options), folder)


@pytest.mark.slow
@pytest.mark.usefixtures("marker")
@pytest.mark.parametrize(
    ("victim", "engine"),
    [("participant", "crypten"), ("coordinator", "stock"), ("dealer", "crypten")],
)
def test_a_party_that_is_killed_ends_the_job_at_once(tmp_path: Path, victim: str, engine: str) -> None:
    record = faulty(FaultyMpc(victim=victim, fault="kill", engine=engine), tmp_path, deadline_s=200)
    assert record.status == "failed"
    name = PARTICIPANT if victim == "participant" else victim
    assert record.reason == f"{name} failed in online: killed by SIGKILL"


@pytest.mark.slow
@pytest.mark.usefixtures("marker")
@pytest.mark.parametrize(
    ("victim", "stage"),
    [
        ("participant", "online"),
        ("coordinator", "online"),
        ("dealer", "online"),
        ("dealer", "setup"),
    ],
)
def test_a_party_that_is_stopped_ends_the_job_at_its_deadline(tmp_path: Path, victim: str, stage: str) -> None:
    for deadline_s in (6.0, 20.0, 60.0):  # the soonest that leaves the parties the time to come so far
        record = faulty(FaultyMpc(victim=victim, stage=stage, fault="stop"), tmp_path, deadline_s)
        assert record.status == "failed"
        if stage in record.reason:
            break
    name = PARTICIPANT if victim == "participant" else victim
    assert record.reason.startswith(f"the deadline of {deadline_s:g} s passed in {stage}, waiting for ")
    assert f"{name} (stopped)" in record.reason


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("model", [LeNet(), CryptoNetsModel()], ids=lambda model: model.name)
def test_on_mnist_it_answers_as_the_clear_model(tmp_path: Path, model: Model) -> None:
    try:
        Mnist().load()
    except DataError as error:
        pytest.skip(str(error))
    job = Job(LEAN, Mnist(), model, TaskOptions(n_samples=100, batch_size=32), MeasureOptions(repetitions=1))
    record = experiment.run(job, tmp_path)
    assert record.status == "ok", record.reason
    measured = summary([record]).iloc[0]
    assert measured.agreement >= 0.99
    assert measured.accuracy >= 0.95
