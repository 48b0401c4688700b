"""Barni's protocol: what its parties learn, how often they speak, and how well they answer."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ppbench import bundle
from ppbench.data.dataset import DatasetSource
from ppbench.data.digits import Digits
from ppbench.data.mnist import Mnist
from ppbench.errors import ConfigError, DataError
from ppbench.measure import experiment
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.models.lenet import LeNet
from ppbench.models.mlp import Mlp
from ppbench.models.model import Model
from ppbench.models.network import Linear, Network
from ppbench.models.square import CryptoNetsModel
from ppbench.progress import silent
from ppbench.records import JobRecord
from ppbench.report.summary import summary
from ppbench.scheme import Scheme, Task, TaskFacts, TrainedModel
from schemes.barni import Barni
from schemes.barni.plan import Plan
from schemes.barni.scheme import INPUTS, OUTPUTS, PLAN

pytest.importorskip("tenseal")
pytest.importorskip("phe")

SMALL = Mlp(hidden=(8,))


def run(
    scheme: Scheme,
    folder: Path,
    model: Model | None = None,
    dataset: DatasetSource | None = None,
    n_samples: int = 20,
    view_batches: int = 0,
    **task: int,
) -> JobRecord:
    measure = MeasureOptions(repetitions=1, warmup_batches=0, view_batches=view_batches)
    options = TaskOptions(n_samples=n_samples, **{"batch_size": 5, **task})
    return experiment.run(Job(scheme, dataset or Digits(), model or Mlp(), options, measure), folder)


def measured(record: JobRecord) -> Any:
    assert record.status == "ok", record.reason
    return summary([record]).iloc[0]


def view(record: JobRecord, folder: Path, party: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = bundle.load(folder / record.folder / "views" / f"{party}.npz")
    return entries


def test_it_answers_as_the_model_in_two_rounds_a_layer(tmp_path: Path) -> None:
    row = measured(run(Barni(), tmp_path, n_samples=200, batch_size=50))
    assert row.agreement == 1
    assert row.largest_logit_error < 0.2
    assert row.rounds == 2 * 2
    assert row.setup_up_bytes < 15e3
    assert row.setup_down_bytes < 1e3
    assert row.participant_peak_rss_bytes < 80e6


@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("hidden", [(), (8,), (8, 8)])
def test_rounds_depend_on_the_layers_alone(tmp_path: Path, hidden: tuple[int, ...], batch_size: int) -> None:
    row = measured(run(Barni(), tmp_path, Mlp(hidden=hidden, epochs=1), n_samples=5, batch_size=batch_size))
    assert row.rounds == 2 * (len(hidden) + 1)


def test_a_larger_batch_costs_less_for_each_sample(tmp_path: Path) -> None:
    one, many = (measured(run(Barni(), tmp_path, n_samples=100, batch_size=size)) for size in (1, 100))
    assert many.up_message_bytes_per_sample < one.up_message_bytes_per_sample / 5
    assert many.down_message_bytes_per_sample < one.down_message_bytes_per_sample / 5


def test_a_batch_costs_what_it_has_and_not_what_was_allowed(tmp_path: Path) -> None:
    ten, allowed = (measured(run(Barni(), tmp_path, SMALL, n_samples=10, batch_size=size)) for size in (10, 256))
    assert allowed.agreement == ten.agreement == 1
    for way in ("up", "down"):
        assert allowed[f"{way}_message_bytes_per_sample"] == ten[f"{way}_message_bytes_per_sample"]


def test_squares_and_convolutions_too(tmp_path: Path) -> None:
    row = measured(run(Barni(range_bits=9), tmp_path, CryptoNetsModel(epochs=1, distortion=0.0)))
    assert row.agreement == 1
    assert row.rounds == 2 * 3


def test_paillier_answers_as_the_model(tmp_path: Path) -> None:
    row = measured(run(Barni(engine="paillier"), tmp_path, SMALL, n_samples=2, batch_size=2))
    assert row.agreement == 1
    assert row.largest_logit_error < 0.1
    assert row.rounds == 2 * 2
    assert row.up_message_bytes_per_sample == 512 * (64 + 8)
    assert row.down_message_bytes_per_sample == 512 * (8 + 10)


def test_several_participants_are_served(tmp_path: Path) -> None:
    assert measured(run(Barni(), tmp_path, SMALL, n_participants=3)).agreement == 1


def test_what_each_party_sees(tmp_path: Path) -> None:
    record = run(Barni(), tmp_path, SMALL, n_samples=6, batch_size=3, view_batches=2)
    measured(record)
    participant, coordinator = (view(record, tmp_path, party) for party in ("participant-0", "coordinator"))
    assert {entry["name"] for entry in coordinator} == {"public key", "encrypted inputs"}
    assert {entry["name"] for entry in participant} == {PLAN, INPUTS, OUTPUTS, "encrypted outputs"}
    (plan,) = (entry for entry in participant if entry["name"] == PLAN)
    skeleton, *arrays = plan["arrays"]
    assert not arrays
    exchanges = Plan.from_tree(bundle.unflatten(skeleton.tobytes().decode(), [])).exchanges
    assert [exchange.linear.n_outputs for exchange in exchanges] == [8, 10]
    seen = {name: [e["arrays"][0].shape for e in participant if e["name"] == name] for name in (INPUTS, OUTPUTS)}
    assert seen == {INPUTS: [(3, 64), (3, 8)] * 2, OUTPUTS: [(3, 8), (3, 10)] * 2}


def test_outputs_that_would_wrap_are_refused(tmp_path: Path) -> None:
    record = run(Barni(range_bits=2), tmp_path)
    assert record.status == "failed"
    assert "linear layer 0 of the model puts out up to" in record.reason
    assert "beyond 3 it wraps: scheme.range_bits must be at least" in record.reason


def test_samples_too_small_for_the_precision_are_refused() -> None:
    random = np.random.default_rng(0)
    network = Network((64,), (Linear(Linear.initial(64, 10, random).weight, np.zeros(10, np.float32)),))
    given = Digits().load().training
    facts = TaskFacts("digits", (8, 8), 16.0, 10, 5, 1, 0)

    def check(scheme: Barni, sample_max: float) -> None:
        unit = dataclasses.replace(facts, sample_max=sample_max)
        scheme.check(Task(unit, given, TrainedModel("mine", network, {}), silent))

    check(Barni(), 16.0)
    refused = r"scheme.activation_bits=8 and scheme.weight_bits=12: \d+% of the labels would not be the model's"
    with pytest.raises(ConfigError, match=rf"{refused}, because layer 0 .*; no precision that is allowed is enough"):
        check(Barni(), 16e4)
    with pytest.raises(ConfigError, match=r"; \d+ bits for values and \d+ for weights are enough"):
        check(Barni(engine="paillier"), 16e4)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_on_mnist_it_is_as_good_as_lenet(tmp_path: Path) -> None:
    try:
        Mnist().load()
    except DataError as error:
        pytest.skip(str(error))
    row = measured(run(Barni(), tmp_path, LeNet(), Mnist(), n_samples=100, batch_size=1))
    assert row.agreement >= 0.99
    assert row.accuracy >= 0.97
    assert row.largest_logit_error < 0.2
    assert row.rounds == 2 * 5
    assert row.up_message_bytes_per_sample < 80e3
    assert row.down_message_bytes_per_sample < 101e3
    assert row.participant_peak_rss_bytes < 80e6
