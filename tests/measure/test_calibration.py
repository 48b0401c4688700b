"""The host's rates: what they are of, where they end up, and how a calibration fails."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from ppbench.app.config import compose_all, register, to_job
from ppbench.data.digits import Digits
from ppbench.errors import PpbenchError
from ppbench.measure import calibration, experiment
from ppbench.measure.calibration import Rate, calibrate, measure, metrics_of, pooled
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.models.mlp import Mlp
from ppbench.scheme import Arithmetic
from schemes.plaintext import Plaintext

KERNELS = {
    "float": ["float_mac", "convolution_mac", "value"],
    "integer": ["word_mac"],
    "modular": ["butterfly"],
}


@pytest.mark.parametrize("arithmetic", get_args(Arithmetic))
def test_a_fresh_process_says_how_fast_the_host_is(arithmetic: Arithmetic) -> None:
    rates = calibrate(arithmetic, 16, threads=1)
    assert [rate.kernel for rate in rates] == KERNELS[arithmetic]
    for rate in rates:
        assert 1e5 < rate.low <= rate.median <= rate.high < 1e13


def test_a_rate_is_operations_over_the_time_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(step * 0.25 for step in range(100))
    monkeypatch.setattr("time.process_time", lambda: next(clock))
    runs: list[int] = []
    rate = measure("word_mac", 500, lambda: runs.append(1))
    assert (rate.low, rate.median, rate.high) == (2000, 2000, 2000)
    assert len(runs) == 6  # the first is not counted


def test_two_calibrations_together_range_over_both() -> None:
    fast, slow = Rate("butterfly", 4e9, 3e9, 5e9), Rate("butterfly", 1e9, 0.5e9, 2e9)
    assert pooled([fast], [slow]) == pooled([slow], [fast]) == [Rate("butterfly", 2e9, 0.5e9, 5e9)]
    assert pooled([], []) == []


def test_a_calibration_that_fails_says_why() -> None:
    with pytest.raises(PpbenchError, match=r"the calibration failed: .*invalid choice"):
        calibrate("rational", 1, threads=1)  # type: ignore[arg-type]


def test_a_calibration_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_DEADLINE_S", 0.01)
    with pytest.raises(PpbenchError, match=r"did not end within 0.01 s"):
        calibrate("float", 1, threads=1)


@pytest.mark.parametrize("asked", [True, False])
def test_a_job_has_the_rates_in_its_records_if_they_were_asked_for(tmp_path: Path, asked: bool) -> None:
    options = MeasureOptions(repetitions=1, warmup_batches=0, calibrate=asked)
    record = experiment.run(Job(Plaintext(), Digits(), Mlp(), TaskOptions(n_samples=64), options), tmp_path)
    assert record.status == "ok", record.reason
    found = [one.metric for one in record.records if one.metric.startswith("calibration_")]
    assert found == ([metric for kernel in KERNELS["float"] for metric in metrics_of(kernel)] if asked else [])  # type: ignore[arg-type]


def test_the_command_line_calibrates_unless_told_otherwise() -> None:
    register()
    assert to_job(compose_all([]).jobs[0]).measure.calibrate
    assert not to_job(compose_all(["measure.calibrate=false"]).jobs[0]).measure.calibrate
