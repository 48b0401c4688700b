"""Measured jobs on other devices: time, memory and energy as modelled, held against what can be counted."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppbench.app.report import write_report
from ppbench.data.digits import Digits
from ppbench.errors import UnavailableError
from ppbench.measure import experiment
from ppbench.measure.calibration import Kernel, Rate, calibrate
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.measure.machine import machine
from ppbench.measure.scoring import calibration
from ppbench.modelled.device_cost import DeviceCost, Estimate, device_cost, inference_energy, is_calibrated
from ppbench.modelled.devices import Device, devices, load_device
from ppbench.modelled.link_cost import links, load_link
from ppbench.models.mlp import Mlp
from ppbench.records import JobRecord, Machine, Record
from ppbench.scheme import Arithmetic, Scheme, TaskFacts
from ppbench.store import read_all
from schemes.barni import Barni
from schemes.cryptonets import CryptoNets
from schemes.local import Local
from schemes.obfnet import ObfNet
from schemes.plaintext import Plaintext
from schemes.random_projection import RandomProjection
from tests.helpers.committed import without
from tests.helpers.paths import RESULTS

M4 = load_device("cortex_m4")
KERNELS: dict[Arithmetic, tuple[Kernel, ...]] = {
    "float": ("float_mac", "convolution_mac", "value"),
    "integer": ("word_mac",),
    "modular": ("butterfly",),
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, JobRecord]]:
    """A results folder with calibrated jobs, by scheme."""
    folder = tmp_path_factory.mktemp("results")
    schemes: tuple[Scheme, ...] = (
        Plaintext(),
        Local(),
        ObfNet(hidden=(32,), epochs=1),
        RandomProjection(retrain=False),
    )
    options = MeasureOptions(repetitions=1, calibrate=True)
    jobs = [Job(scheme, Digits(), Mlp(), TaskOptions(batch_size=64), options) for scheme in schemes]
    found = {job.scheme.name: experiment.run(job, folder) for job in jobs}
    assert [record.reason for record in found.values() if record.status != "ok"] == []
    return folder, found


def committed(scheme: str, variant: str, arithmetic: Arithmetic) -> JobRecord:
    """A job of the committed results, with this host's rates added; its ratios are not to be looked at."""
    jobs = results("mpc" if scheme == "mpc" else "he")
    job = next(job for job in jobs if (job.scheme, job.variant) == (scheme, variant))
    return with_rates(job, calibrate(arithmetic, 1, threads=1))


def with_rates(job: JobRecord, rates: list[Rate]) -> JobRecord:
    """The job with these rates of its host."""
    return job.model_copy(update={"records": [*job.records, *calibration(rates)]})


@functools.cache
def results(folder: str) -> tuple[JobRecord, ...]:
    """Jobs of the committed results."""
    return tuple(read_all(RESULTS / folder))


def made_up(arithmetic: Arithmetic, cpu_s: float, channel_s: float = 0.0, macs: int | None = None) -> JobRecord:
    """A job of one sample in one pass, on a host that does 1e9 of anything a second, give or take a tenth."""
    own = {"stage": "online", "unit": "s", "party": "participant-0", "process": 0, "repetition": 0}
    records = [
        Record(metric="cpu_s", value=cpu_s, **own),  # type: ignore[arg-type]
        Record(metric="channel_cpu_s", value=channel_s, **own),  # type: ignore[arg-type]
        Record(stage="online", metric="n_answers", value=1, unit="1", process=0, repetition=0),
        *calibration(Rate(kernel, 1e9, 0.9e9, 1.1e9) for kernel in KERNELS[arithmetic]),
    ]
    for kind, count in (("dense", macs), ("convolution", 0)):
        if count is not None and macs is not None:
            records.append(Record(stage="job", metric=f"participant_{kind}_macs_per_sample", value=count, unit="1"))
    job = results("quickstart")[0]
    return job.model_copy(update={"records": records})


def online(job: JobRecord, device: Device) -> Estimate:
    """Its time for a sample."""
    found = device_cost(job, device).online_s_per_sample
    assert found is not None
    return found


def test_every_job_has_a_range_on_every_device_and_memory_as_measured(
    measured: tuple[Path, dict[str, JobRecord]],
) -> None:
    for job in measured[1].values():
        for device in devices():
            cost = device_cost(job, device)
            assert cost.feasible
            assert cost.measured_ram_bytes is not None
            assert cost.measured_ram_bytes > 0
            for estimate in (cost.online_s_per_sample, cost.setup_s, cost.energy_j_per_sample):
                assert estimate is not None
                assert 0 < estimate.low <= estimate.best <= estimate.high
            assert cost.offline_s_per_sample == cost.train_s == Estimate(0, 0, 0)


def test_a_network_takes_at_least_what_its_multiply_accumulates_take(
    measured: tuple[Path, dict[str, JobRecord]],
) -> None:
    jobs = measured[1]
    model_macs = next(r.value for r in jobs["local"].records if r.metric == "macs_per_sample")
    for scheme, macs in (("local", model_macs), ("obfnet", 2 * 64 * 32), ("random_projection", 64 * 32)):
        least_s = macs / M4.dense_mac_per_s
        assert least_s <= online(jobs[scheme], M4).low, scheme


@pytest.mark.parametrize("arithmetic", ["integer", "modular"])
@given(cpu_s=st.floats(1e-6, 1e3), channel=st.floats(0, 1))
def test_time_on_a_device_is_host_time_by_the_rates(arithmetic: Arithmetic, cpu_s: float, channel: float) -> None:
    seconds = online(made_up(arithmetic, cpu_s, channel * cpu_s), M4)
    figure = f"{KERNELS[arithmetic][0]}_per_s"
    doubt = 2.0 if M4.is_assumed(figure) else 1.0
    expected = cpu_s * 1e9 / getattr(M4, figure)
    assert seconds.best == pytest.approx(expected)
    assert seconds.high == pytest.approx(expected * 1.1 * doubt)
    # The channel's share is subtracted: what is left of almost all carries the rounding of the whole.
    assert seconds.low == pytest.approx(expected * 0.9 / doubt * (1 - channel), rel=1e-9, abs=1e-12 * expected)


@given(macs=st.integers(0, 10**7), rest_s=st.floats(0, 1e-2), times=st.floats(1, 50))
def test_more_work_on_the_host_or_a_slower_device_never_takes_less_time(macs: int, rest_s: float, times: float) -> None:
    counted = made_up("float", macs / 1e9 + rest_s, macs=macs)
    slower = dataclasses.replace(M4, **{key: getattr(M4, key) / times for key in M4.sources if key.endswith("per_s")})
    busier = made_up("float", macs / 1e9 + rest_s * times, macs=macs)
    for more in (online(busier, M4), online(counted, slower)):
        assert more.best >= online(counted, M4).best * (1 - 1e-9)
        assert more.high >= online(counted, M4).high * (1 - 1e-9)
    assert online(counted, M4).best >= macs / M4.dense_mac_per_s


@given(cpu_s=st.floats(1e-6, 1e3))
def test_what_cannot_be_counted_lies_between_values_and_multiply_accumulates(cpu_s: float) -> None:
    seconds = online(made_up("float", cpu_s), M4)
    ends = sorted(cpu_s * 1e9 / rate for rate in (M4.value_per_s, M4.float_mac_per_s or 0.0))
    assert seconds.low <= ends[0] <= seconds.best * (1 + 1e-9)
    assert seconds.best <= ends[1] * (1 + 1e-9)
    assert ends[1] <= seconds.high


def test_a_microcontroller_cannot_hold_megabytes_of_keys_whatever_the_time() -> None:
    job = without(committed("cryptonets", "", "modular"), "participant_resident_bytes")
    cost = device_cost(job, M4)
    assert cost.ram_bytes > 7e6
    assert not cost.feasible
    assert "7.09 MB for keys" in cost.reason
    assert "655 kB" in cost.reason
    assert cost.online_s_per_sample is not None
    assert device_cost(job, load_device("raspberry_pi_4")).feasible


def sending_keys(n_keys: int, n_messages: int, resident_bytes: float | None = None) -> JobRecord:
    """A job whose setup sends keys of 400 kB each, in so many messages."""
    own = {"stage": "setup", "party": "participant-0", "process": 0}
    sent = {"message_bytes_sent": (400_000 * n_keys, "B"), "messages_sent": (n_messages, "1")}
    more = [Record(metric=metric, value=n, unit=unit, **own) for metric, (n, unit) in sent.items()]  # type: ignore[arg-type]
    if resident_bytes is not None:
        more.append(Record("job", "participant_resident_bytes", resident_bytes, "B", source="counted"))
    job = made_up("modular", 1.0)
    return job.model_copy(update={"records": [*job.records, *more]})


def test_keys_that_are_sent_one_by_one_need_not_be_there_together() -> None:
    together, streamed = (device_cost(sending_keys(18, n), M4) for n in (1, 18))
    assert (together.ram_bytes, together.stored_ram_bytes) == (7.2e6, 7.2e6)
    assert not together.feasible
    assert (streamed.ram_bytes, streamed.stored_ram_bytes) == (4e5, 7.2e6)
    assert streamed.feasible
    assert "in 400 kB of RAM: stored, they take 7.20 MB; Cortex-M4 (STM32L4R5ZI) has 655 kB" in streamed.reason
    small = device_cost(sending_keys(1, 1), M4)
    assert (small.ram_bytes, small.feasible, small.reason) == (4e5, True, "")


def test_memory_is_judged_by_what_the_protocol_holds_and_not_by_how_it_is_implemented() -> None:
    piecewise = device_cost(sending_keys(18, 1, resident_bytes=6e4), M4)
    assert (piecewise.ram_bytes, piecewise.stored_ram_bytes, piecewise.feasible) == (6e4, 7.2e6, True)
    assert piecewise.reason.startswith("only with keys and messages made piece by piece, in 60.0 kB of RAM")
    held = device_cost(sending_keys(1, 1, resident_bytes=3e6), M4)
    assert not held.feasible
    assert "needs at least 3.00 MB of RAM (3.00 MB for what the protocol holds)" in held.reason


def test_cryptonets_fits_a_microcontroller_one_image_at_a_time_and_not_in_batches_of_thousands() -> None:
    """7.09 MB of keys can be made and sent one at a time; 4,096 images are 3.2 MB before anything is computed."""
    job = without(committed("cryptonets", "", "modular"), "participant_resident_bytes")
    facts = TaskFacts("mnist", (28, 28), 255.0, 10, 1, 1, 0)
    latency, throughput = CryptoNets(), CryptoNets(packing="throughput")

    def fits(resident_bytes: float) -> bool:
        known = Record("job", "participant_resident_bytes", resident_bytes, "B", source="counted")
        cost = device_cost(job.model_copy(update={"records": [*job.records, known]}), M4)
        assert cost.stored_ram_bytes > 7e6
        return cost.feasible

    assert fits(latency.resident_bytes(facts))
    assert not fits(throughput.resident_bytes(dataclasses.replace(facts, batch_size=4096)))


@pytest.mark.parametrize(("engine", "expected"), [("ckks", 2048 * (2 + 54) / 8), ("paillier", 256 + 512)])
def test_ciphertexts_of_barni_are_made_one_by_one(engine: str, expected: float) -> None:
    facts = TaskFacts("mnist", (28, 28), 255.0, 10, 256, 1, 0)
    assert Barni(engine=engine, poly_modulus_degree=2048, modulus_bits=54).resident_bytes(facts) == expected


@pytest.mark.parametrize(
    ("scheme", "variant", "arithmetic", "what"),
    [("cryptonets", "", "modular", "modulo primes"), ("mpc", "", "integer", "modulo 2^64")],
)
def test_an_accelerator_of_networks_cannot_encrypt_or_share(
    scheme: str, variant: str, arithmetic: Arithmetic, what: str
) -> None:
    cost = device_cost(committed(scheme, variant, arithmetic), load_device("coral_edge_tpu"))
    assert not cost.feasible
    assert f"cannot compute {what}" in cost.reason
    assert (cost.online_s_per_sample, cost.energy_j_per_sample) == (None, None)


def test_a_network_too_large_as_it_is_sent_fits_a_flash_in_int8(
    measured: tuple[Path, dict[str, JobRecord]],
) -> None:
    job = measured[1]["obfnet"]
    sent = device_cost(job, M4).flash_bytes * 4
    assert sent > 4 * 2 * 64 * 32
    tight = device_cost(job, dataclasses.replace(M4, flash_bytes=sent / 2))
    assert tight.feasible
    assert tight.reason.startswith("only with weights in int8")
    full = device_cost(job, dataclasses.replace(M4, flash_bytes=sent / 5))
    assert not full.feasible
    assert "of flash" in full.reason


def test_energy_is_power_by_time(measured: tuple[Path, dict[str, JobRecord]]) -> None:
    cost: DeviceCost = device_cost(measured[1]["local"], M4)
    assert cost.energy_j_per_sample is not None
    assert cost.online_s_per_sample is not None
    assert cost.energy_j_per_sample.best == pytest.approx(cost.online_s_per_sample.best * M4.power_w)


def test_a_job_without_calibration_or_without_result_is_refused_in_one_line() -> None:
    job = results("obfnet_paper")[0]
    assert not is_calibrated(job)
    with pytest.raises(UnavailableError, match=r"measure.calibrate=true"):
        device_cost(job, M4)
    failed = job.model_copy(update={"status": "failed"})
    with pytest.raises(UnavailableError, match="was not measured"):
        device_cost(failed, M4)


def test_a_participant_on_another_machine_is_not_scaled_by_this_ones_rates() -> None:
    job = made_up("float", 1.0)
    machines = {"participant-0": Machine(**machine())}
    elsewhere = job.model_copy(update={"provenance": job.provenance.model_copy(update={"machines": machines})})
    with pytest.raises(UnavailableError, match="another machine"):
        device_cost(elsewhere, M4)


def test_energy_of_an_inference_is_computing_and_radio_and_none_where_the_link_carries_nothing(
    measured: tuple[Path, dict[str, JobRecord]],
) -> None:
    job = measured[1]["obfnet"]
    ble = inference_energy(job, M4, load_link("ble_5"))
    assert ble.compute_j == device_cost(job, M4).energy_j_per_sample
    assert ble.compute_j is not None
    assert ble.radio_j is not None
    assert ble.radio_j > 0
    assert ble.total_j == ble.compute_j.best + ble.radio_j
    # 131 kB a sample by LoRaWAN at one percent take hours.
    ciphertexts = inference_energy(committed("cryptonets", "", "modular"), M4, load_link("lorawan_sf12"))
    assert (ciphertexts.radio_j, ciphertexts.total_j) == (None, None)


def test_the_report_has_a_row_for_each_calibrated_job_device_and_link(
    measured: tuple[Path, dict[str, JobRecord]],
) -> None:
    folder, jobs = measured
    assert folder / "modelled.csv" in write_report(folder)
    table = pd.read_csv(folder / "modelled.csv")
    assert len(table) == len(jobs) * len(devices()) * len(links())
    assert (table.counted_stored_ram_bytes >= table.counted_ram_bytes).all()
    row = table[(table.scheme == "local") & (table.device == "cortex_m4") & (table.link == "ble_5")].iloc[0]
    assert row.modelled_online_s_per_sample == pytest.approx(online(jobs["local"], M4).best)
    assert row.modelled_radio_j_per_sample == pytest.approx(
        inference_energy(jobs["local"], M4, load_link("ble_5")).radio_j
    )
