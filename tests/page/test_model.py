"""The models of devices and links, in Python and in the page's script: one description, the same numbers and words."""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import Any

import pytest
from py_mini_racer import MiniRacer

from ppbench.modelled.device_cost import device_cost, is_calibrated
from ppbench.modelled.devices import Device, devices
from ppbench.modelled.inputs import Once
from ppbench.modelled.link_cost import link_cost, links, once_cost
from ppbench.page.inputs import CONSTANTS, model_inputs
from ppbench.page.payload import as_json
from ppbench.page.write import MODEL, STATIC
from ppbench.records import JobRecord
from ppbench.store import read_all
from tests.helpers.paths import RESULTS

FOLDERS = ("quickstart", "taxonomy")
OF_STAGE: dict[Once, str] = {"setup": "of setup", "train": "of training"}
WH_J = 3600.0


@functools.cache
def jobs(folder: str) -> list[JobRecord]:
    return [job for job in read_all(RESULTS / folder) if job.status == "ok" and is_calibrated(job)]


@pytest.fixture(scope="module")
def script() -> MiniRacer:
    """The page's model in an engine of its own."""
    engine = MiniRacer()
    engine.eval(f"const CONSTANTS = {as_json(CONSTANTS)};\n" + "\n".join((STATIC / n).read_text() for n in MODEL))
    return engine


def call(script: MiniRacer, expression: str, **given: Any) -> Any:
    """What an expression makes of these values."""
    names = ",".join(given)
    return json.loads(str(script.eval(f"JSON.stringify((({{{names}}}) => {expression})({as_json(given)}))")))


def cost(found: Any) -> Any:
    """A modelled cost of Python's without the name of its profile, which the script knows anyway."""
    return found and {key: value for key, value in dataclasses.asdict(found).items() if key not in ("device", "link")}


def assert_same(scripted: Any, pythonic: Any, where: str) -> None:
    """Numbers to 1e-9 of themselves, all else exactly."""
    if isinstance(pythonic, dict):
        assert scripted.keys() == pythonic.keys(), where
        for key, value in pythonic.items():
            assert_same(scripted[key], value, f"{where}: {key}")
    elif isinstance(pythonic, float):
        assert scripted == pytest.approx(pythonic, rel=1e-9, abs=0), where
    else:
        assert scripted == pythonic, where


@pytest.mark.parametrize("folder", FOLDERS)
def test_script_and_python_model_every_job_alike_on_every_device_and_link(script: MiniRacer, folder: str) -> None:
    all_devices, all_links = devices(), links()
    for job in jobs(folder):
        scripted = call(
            script,
            """({
              devices: devices.map((device) => deviceCost(inputs.compute, device)),
              links: links.map((link) => ({
                link: linkCost(inputs.batches, link),
                setup: onceCost(inputs.setup, link, of.setup),
                train: onceCost(inputs.train, link, of.train),
              })),
            })""",
            inputs=model_inputs(job),
            devices=[dataclasses.asdict(device) for device in all_devices],
            links=[link.to_config() for link in all_links],
            of=OF_STAGE,
        )
        for device, found in zip(all_devices, scripted["devices"], strict=True):
            assert_same(found, cost(device_cost(job, device)), f"{job.folder} on {device.name}")
        for link, found in zip(all_links, scripted["links"], strict=True):
            where = f"{job.folder} over {link.name}"
            assert_same(found["link"], cost(link_cost(job, link)), where)
            for stage in OF_STAGE:
                assert_same(found[stage], cost(once_cost(job, link, stage)), f"{where}: {stage}")


def with_figures(device: Device, **figures: float | None) -> Device:
    sources = {**device.sources, **dict.fromkeys(figures, "somebody's own figure")}
    return dataclasses.replace(device, sources=sources, **figures)  # type: ignore[arg-type]


def test_a_device_of_ones_own_is_modelled_alike(script: MiniRacer) -> None:
    own = [
        with_figures(devices()[0], value_per_s=1e6, ram_bytes=1000.0),
        with_figures(devices()[0], float_mac_per_s=None, flash_bytes=1000.0),
        with_figures(devices()[-1], word_mac_per_s=None, butterfly_per_s=None, power_w=3.0),
    ]
    reasons = set()
    for job in jobs("taxonomy"):
        profiles = [dataclasses.asdict(device) for device in own]
        inputs = model_inputs(job)
        for device, found in zip(
            own,
            call(script, "devices.map((d) => deviceCost(inputs.compute, d))", inputs=inputs, devices=profiles),
            strict=True,
        ):
            assert_same(found, cost(device_cost(job, device)), f"{job.folder} on {device.name}")
            reasons.add(found["reason"][:20])
    # Memory, flash and arithmetic that is missing were all among them.
    assert len(reasons) >= 4


def test_a_use_is_the_sum_of_what_device_and_link_cost(script: MiniRacer) -> None:
    device, link = devices()[0], next(link for link in links() if link.name == "lte_m")
    for job in jobs("taxonomy"):
        found = call(
            script,
            "useCost(inputs, use)",
            inputs=model_inputs(job),
            use={
                "device": dataclasses.asdict(device),
                "link": link.to_config(),
                "samples_per_day": 24,
                "battery_j": 10 * WH_J,
                "n_devices": 1000,
            },
        )
        computing, radio = device_cost(job, device), link_cost(job, link)
        once = [stage for stage in (once_cost(job, link, "setup"), once_cost(job, link, "train")) if stage]
        if radio is None:
            assert "answers no samples" in found["reasons"]
            continue
        if not computing.energy_j_per_sample or not computing.setup_j or not computing.train_j:
            assert found["battery_days"] is found["j_per_sample"] is None
            continue
        j_per_sample = computing.energy_j_per_sample.best + radio.energy_j_per_sample
        once_j = computing.setup_j.best + computing.train_j.best + sum(stage.energy_j for stage in once)
        assert found["j_per_sample"] == pytest.approx(j_per_sample)
        assert found["battery_days"] == pytest.approx(max(0.0, 10 * WH_J - once_j) / (24 * j_per_sample))
        fits = computing.feasible and radio.feasible and all(stage.feasible for stage in once)
        assert found["feasible"] == (fits and found["busy_s_per_day"] <= 86_400), job.folder
        assert bool(found["reasons"]) == (not found["feasible"])


def test_setup_may_empty_a_battery_and_a_day_may_be_too_short(script: MiniRacer) -> None:
    job = next(job for job in jobs("taxonomy") if job.scheme == "obfnet")
    lte_m = next(link for link in links() if link.name == "lte_m")

    def used(samples_per_day: float, battery_j: float) -> Any:
        use = {
            "device": dataclasses.asdict(devices()[0]),
            "link": lte_m.to_config(),
            "samples_per_day": samples_per_day,
            "battery_j": battery_j,
            "n_devices": 1,
        }
        return call(script, "useCost(inputs, use)", inputs=model_inputs(job), use=use)

    assert used(24, 10 * WH_J)["battery_days"] > 0
    assert used(24, 0.001)["battery_days"] == 0
    assert used(24, 10 * WH_J)["feasible"]
    busy = used(1e9, 10 * WH_J)
    assert not busy["feasible"]
    assert "busy for" in busy["reasons"][-1]
