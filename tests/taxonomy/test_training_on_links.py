"""What training costs on links and is called: from its own bytes and steps, and unknown where nobody counted them."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import pandas as pd
import pytest

from ppbench import units
from ppbench.measure.calibration import Rate
from ppbench.measure.scoring import calibration
from ppbench.modelled.devices import load_device
from ppbench.modelled.link_cost import FEASIBLE_ONCE_S, link_cost, load_link, once_cost
from ppbench.records import JobRecord, Record
from ppbench.report.costs import text_table
from ppbench.report.groups import grouped
from ppbench.report.modelled_table import write_modelled
from ppbench.scheme import PARTICIPANT
from ppbench.taxonomy.links import link_panels
from ppbench.taxonomy.rows import TaxonomyRow, taxonomy_rows
from ppbench.taxonomy.table import write_taxonomy
from ppbench.taxonomy.thresholds import load_thresholds
from schemes.plaintext import Plaintext
from tests.helpers import measured
from tests.helpers.measured import row
from tests.sketches.common import LeastSquares
from tests.sketches.federated_averaging import FederatedAveraging

measure = functools.partial(measured.measure, model=LeastSquares(), wire="memory", n_samples=10, n_participants=2)
N_ROUNDS = 5
STEPS = 2 * N_ROUNDS + 1
LORAWAN, LTE_M = load_link("lorawan_sf7"), load_link("lte_m")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def plaintext(folder: Path) -> JobRecord:
    return with_rates(measure(Plaintext(), folder))


@pytest.fixture(scope="module")
def federated(folder: Path) -> JobRecord:
    """Calibrated, as far as device time needs it, to a host that does 1e9 of anything a second."""
    return with_rates(measure(FederatedAveraging(n_training_rounds=N_ROUNDS), folder))


def with_rates(job: JobRecord) -> JobRecord:
    rates = calibration(Rate(kernel, 1e9, 1e9, 1e9) for kernel in ("float_mac", "convolution_mac", "value"))
    return job.model_copy(update={"records": [*job.records, *rates]})


def of_an_older_version(job: JobRecord) -> JobRecord:
    """Without what was not recorded then: steps of stages without batches, and training rounds."""
    kept = [r for r in job.records if r.training_round is None and (r.stage, r.metric) not in _NEW]
    return job.model_copy(update={"records": kept})


_NEW = {("setup", "rounds"), ("train", "rounds"), ("train", "training_rounds")}


def times_as_large(job: JobRecord, metric: str, factor: float) -> JobRecord:
    """With so many times as much of what participants exchanged in training."""

    def changed(record: Record) -> Record:
        mine = record.stage == "train" and record.metric == metric and (record.party or "").startswith(PARTICIPANT)
        return dataclasses.replace(record, value=record.value * factor) if mine else record

    return job.model_copy(update={"records": list(map(changed, job.records))})


def only(rows: list[TaxonomyRow], scheme: str) -> TaxonomyRow:
    (found,) = [one for one in rows if one.group.scheme == scheme]
    return found


def labelled(*jobs: JobRecord) -> list[TaxonomyRow]:
    return taxonomy_rows(grouped(jobs), load_thresholds(), load_device("cortex_m4"))


def test_training_takes_its_bytes_at_the_goodput_and_a_delay_for_each_step(federated: JobRecord) -> None:
    cost = once_cost(federated, LTE_M, "train")
    assert cost is not None
    told = row(federated)
    bits_s = 8 * (
        told.train_up_bytes / LTE_M.goodput_up_bit_per_s + told.train_down_bytes / LTE_M.goodput_down_bit_per_s
    )
    assert bits_s < cost.link_s - STEPS * LTE_M.shape.delay_s < 1.5 * bits_s
    slower = once_cost(federated, dataclasses.replace(LTE_M, rtt_s=LTE_M.rtt_s + 2), "train")
    assert slower is not None
    assert slower.link_s - cost.link_s == pytest.approx(STEPS)
    assert slower.energy_j - cost.energy_j == pytest.approx(STEPS * LTE_M.base_power_w)
    assert (cost.feasible, cost.reason) == (True, "")
    nothing = once_cost(federated, LTE_M, "setup")
    assert nothing is not None
    assert (nothing.link_s, nothing.energy_j) == (0, 0)


def test_megabytes_of_training_are_not_for_lorawan(federated: JobRecord) -> None:
    sent = row(federated).train_up_bytes
    large = times_as_large(federated, "payload_bytes_sent", 3.2e6 / sent)
    cost = once_cost(large, LORAWAN, "train")
    assert cost is not None
    assert cost.link_s > 8 * 3.2e6 / LORAWAN.goodput_up_bit_per_s / LORAWAN.duty_cycle > FEASIBLE_ONCE_S
    assert not cost.feasible
    assert f"{cost.link_s / 3600:.1f} hours of training; LoRaWAN" in cost.reason
    assert cost.energy_j > 8 * 3.2e6 * LORAWAN.energy_sent_j_per_bit
    # Its samples are carried all the same.
    samples = link_cost(large, LORAWAN)
    assert samples is not None
    assert samples.feasible


def test_a_link_that_cannot_carry_training_does_not_carry_the_scheme(
    plaintext: JobRecord, federated: JobRecord
) -> None:
    large = times_as_large(federated, "payload_bytes_sent", 3.2e6 / row(federated).train_up_bytes)
    for job, n_infeasible in ((federated, 0), (large, 1)):
        rows = labelled(plaintext, job)
        lorawan = link_panels(rows)[0]
        assert len(lorawan.infeasible) == n_infeasible
        assert only(rows, job.scheme).name in lorawan.radio_j


def test_what_trains_in_rounds_is_iterative_by_its_counted_steps(plaintext: JobRecord, federated: JobRecord) -> None:
    rows = labelled(plaintext, federated)
    iterative = only(rows, federated.scheme)
    assert iterative.overhead.rounds == STEPS
    assert iterative.communication is not None
    assert iterative.communication.iterative
    answering = only(rows, "plaintext")
    assert answering.communication is not None
    assert not answering.communication.iterative


def test_steps_that_nobody_counted_are_unknown_and_never_none(plaintext: JobRecord, federated: JobRecord) -> None:
    old = of_an_older_version(federated)
    assert pd.isna(row(old).train_rounds)
    assert pd.isna(row(old).n_training_rounds)
    assert once_cost(old, LTE_M, "train") is None
    unknown = only(labelled(plaintext, old), old.scheme)
    assert (unknown.overhead.rounds, unknown.communication) == (None, None)
    (line,) = [line for line in text_table([old]).splitlines() if old.scheme in line]
    assert line.split("|")[-2].strip() == units.NOT_MEASURED


def test_where_participants_only_sent_it_was_one_step_even_if_nobody_counted(
    plaintext: JobRecord, federated: JobRecord
) -> None:
    old = times_as_large(of_an_older_version(federated), "payload_bytes_received", 0)
    assert row(old).train_rounds == 1
    one_shot = only(labelled(plaintext, old), old.scheme)
    assert one_shot.communication is not None
    assert not one_shot.communication.iterative
    assert once_cost(old, LTE_M, "train") is not None


def test_tables_say_what_training_would_take(plaintext: JobRecord, federated: JobRecord, tmp_path: Path) -> None:
    write_modelled([plaintext, federated], tmp_path)
    write_taxonomy(labelled(plaintext, federated), load_thresholds(), load_device("cortex_m4"), tmp_path)
    table = pd.read_csv(tmp_path / "modelled.csv")
    on_these = table[(table.device == "cortex_m4") & (table.link == "lte_m")]
    told = on_these[on_these.scheme == federated.scheme].iloc[0]
    cost = once_cost(federated, LTE_M, "train")
    assert cost is not None
    assert told.modelled_link_train_s == pytest.approx(cost.link_s)
    assert told.modelled_radio_train_j == pytest.approx(cost.energy_j)
    assert told.link_train_feasible
    assert told.modelled_compute_train_j == pytest.approx(told.modelled_train_s * load_device("cortex_m4").power_w)
    assert on_these[on_these.scheme == "plaintext"].modelled_link_train_s.isna().all()
    labels = pd.read_csv(tmp_path / "taxonomy.csv")
    labels = labels[labels.scheme == federated.scheme]
    assert labels.train_rounds.tolist() == [STEPS]
    assert labels.communication_measured.str.startswith("iterative").all()
