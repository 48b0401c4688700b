"""What a job costs in a use: in step with what the models say of its parts, and with what was measured."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppbench.launch.link import Link
from ppbench.modelled.devices import load_device
from ppbench.modelled.link_cost import load_link
from ppbench.modelled.use import DAY_S, Use, UseCost, use_cost
from ppbench.records import JobRecord
from tests.helpers.committed import altered, measured, without

M4, BLE = load_device("cortex_m4"), load_link("ble_5")
JOB = measured("local", "model=local_cnn")


def cost(job: JobRecord = JOB, link: Link = BLE, samples_per_day: float = 24.0, **use: float) -> UseCost:
    return use_cost(job, Use(M4, link, samples_per_day, **use))  # type: ignore[arg-type]


@settings(max_examples=25)
@given(st.floats(1e-3, 1e6), st.floats(1.0, 1e9))
def test_a_battery_pays_for_setup_and_then_for_samples(samples_per_day: float, battery_j: float) -> None:
    found = cost(samples_per_day=samples_per_day, battery_j=battery_j)
    assert found.battery_days is not None
    assert found.j_per_sample is not None
    assert found.once_j is not None
    if battery_j <= found.once_j:
        assert found.battery_days == 0
    else:
        spent_j = found.once_j + found.battery_days * samples_per_day * found.j_per_sample.best
        assert spent_j == pytest.approx(battery_j)


@settings(max_examples=25)
@given(st.floats(1e-3, 1e8))
def test_no_device_is_busy_for_longer_than_a_day_has(samples_per_day: float) -> None:
    found = cost(samples_per_day=samples_per_day)
    assert found.device_s_per_sample is not None
    assert found.link_s_per_sample is not None
    busy_s = samples_per_day * (found.device_s_per_sample + found.link_s_per_sample)
    assert found.busy_s_per_day == pytest.approx(busy_s)
    assert found.feasible == (busy_s <= DAY_S)
    assert found.feasible or "hours a day" in found.reasons[0]


@settings(max_examples=25)
@given(st.integers(1, 10**8), st.floats(1e-3, 1e3))
def test_what_a_cloud_has_to_do_grows_with_devices_and_samples(n_devices: int, samples_per_day: float) -> None:
    one = cost(samples_per_day=1.0)
    many = cost(samples_per_day=samples_per_day, n_devices=n_devices)
    assert one.coordinator_cores > 0
    assert many.coordinator_cores == pytest.approx(n_devices * samples_per_day * one.coordinator_cores)
    assert one.terabytes_per_month == pytest.approx(30 * one.payload_bytes_per_sample / 1e12)
    assert many.terabytes_per_month == pytest.approx(n_devices * samples_per_day * one.terabytes_per_month)


def test_a_dealer_is_the_clouds_to_run() -> None:
    job = measured("mpc")
    without = job.model_copy(update={"records": [record for record in job.records if record.party != "dealer"]})
    assert cost(job).coordinator_cores > 1.05 * cost(without).coordinator_cores


def test_an_answer_waits_until_its_batch_is_full() -> None:
    one_by_one, in_batches = cost(measured("cryptonets")), cost(JOB)
    assert one_by_one.answer_s is not None
    assert one_by_one.answer_s < DAY_S / 24
    assert in_batches.answer_s is not None
    assert 255 / 24 * DAY_S < in_batches.answer_s < 256 / 24 * DAY_S


def test_each_no_has_its_reason() -> None:
    slow = load_link("lorawan_sf7")
    ciphertexts = use_cost(measured("cryptonets"), Use(dataclasses.replace(M4, ram_bytes=1e4), slow, 24.0))
    assert not ciphertexts.feasible
    for why in ("of RAM", "hours a sample", "hours of setup", "busy for"):
        assert len([reason for reason in ciphertexts.reasons if why in reason]) == 1
    (too_large,) = use_cost(JOB, Use(dataclasses.replace(M4, flash_bytes=1000.0), BLE, 24.0)).reasons
    assert "of flash" in too_large


def test_what_is_not_answered_has_no_energy() -> None:
    found = cost(without(JOB, "latency_s", "n_answers"), battery_j=1e4)
    assert not found.feasible
    assert (found.j_per_sample, found.battery_days, found.answer_s) == (None, None, None)


def test_a_device_that_cannot_compute_it_has_neither_seconds_nor_joules() -> None:
    found = use_cost(measured("cryptonets"), Use(load_device("coral_edge_tpu"), BLE, 24.0, 1e4))
    assert "cannot compute" in found.reasons[0]
    assert (found.device_s_per_sample, found.j_per_sample, found.once_j, found.battery_days) == (None,) * 4


def test_a_pass_that_took_no_time_is_no_endless_battery() -> None:
    """A clock that saw nothing, and a link that takes nothing: nobody knows how long it lasts."""
    free = dataclasses.replace(BLE, energy_sent_j_per_bit=0.0, energy_received_j_per_bit=0.0, base_power_w=0.0)
    unseen = altered(
        JOB,
        cpu_s=0.0,
        channel_cpu_s=0.0,
        participant_dense_macs_per_sample=0.0,
        participant_convolution_macs_per_sample=0.0,
    )
    still = cost(unseen, free, battery_j=1e4)
    assert still.j_per_sample is not None
    assert still.j_per_sample.best == 0
    assert still.battery_days is None
