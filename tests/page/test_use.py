"""A use, in Python and in the page's script: the same figures and the same words."""

from __future__ import annotations

import dataclasses

import pytest
from py_mini_racer import MiniRacer

from ppbench.modelled.devices import devices
from ppbench.modelled.link_cost import links
from ppbench.modelled.use import Use, use_cost
from ppbench.page.inputs import model_inputs
from tests.page.test_model import FOLDERS, assert_same, call, jobs, script  # noqa: F401 - a fixture

FIGURES = (
    "link_s_per_sample",
    "once_j",
    "battery_days",
    "busy_s_per_day",
    "coordinator_cores",
    "terabytes_per_month",
    "condition",
    "left_out",
    "feasible",
)


@pytest.mark.parametrize("folder", FOLDERS)
def test_script_and_python_tell_the_same_of_every_use(script: MiniRacer, folder: str) -> None:  # noqa: F811
    uses = [
        Use(device, link, samples_per_day=48, battery_j=36_000.0, n_devices=1000)
        for device in devices()[::3]
        for link in links()[::3]
    ]
    for job in jobs(folder):
        given = [dataclasses.asdict(use) | {"link": use.link.to_config()} for use in uses]
        scripted = call(script, "uses.map((use) => useCost(inputs, use))", inputs=model_inputs(job), uses=given)
        for use, found in zip(uses, scripted, strict=True):
            expected = use_cost(job, use)
            where = f"{job.folder} on {use.device.name} over {use.link.name}"
            for figure in FIGURES:
                if figure == "once_j" and expected.device_s_per_sample is None:
                    continue
                assert_same(found[figure], getattr(expected, figure), f"{where}: {figure}")
            assert_same(found["j_per_sample"], expected.j_per_sample and expected.j_per_sample.best, where)
            assert found["reasons"] == list(expected.reasons), where
