"""`make smoke`: every scheme is in it, and one that becomes dearer, or answers worse, is named."""

from __future__ import annotations

import functools
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ppbench import store
from ppbench.app import config
from ppbench.cli import main
from ppbench.compare.folders import Compared, compare
from ppbench.errors import ConfigError
from ppbench.measure.job import Job
from ppbench.plugin import Plugin
from ppbench.records import JobRecord
from ppbench.report.summary import summary
from schemes.plaintext import Plaintext
from tests.faults.dearer import OneRoundMore, TenPercentMoreBytes, ThreePointsWorse
from tests.helpers.changed import changed, plus, times
from tests.helpers.measured import measure
from tests.helpers.paths import RESULTS, ROOT

BASELINE = RESULTS / "smoke"
N_MANY = 500


@functools.cache
def jobs_of(experiment: str) -> tuple[Job, ...]:
    config.register()
    return tuple(config.to_job(composed) for composed in config.compose_all([f"+experiment={experiment}"]).jobs)


@functools.cache
def baseline() -> tuple[JobRecord, ...]:
    return tuple(store.read_all(BASELINE))


def choices(plugin: Plugin) -> tuple[str, str]:
    """Which scheme, and what of it was chosen: numbers make no other scheme of it."""
    chosen = {
        option: value
        for option, value in plugin.options().items()
        if isinstance(value, bool) or not isinstance(value, int | float | None)
    }
    return plugin.name, str(chosen)


def test_every_scheme_that_is_installed_is_in_it() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["ppbench.schemes"]
    assert {job.scheme.name for job in jobs_of("smoke")} == set(declared)


def test_every_engine_is_in_it() -> None:
    schemes = {job.scheme.name: type(job.scheme) for job in jobs_of("smoke")}
    with_engines = {name: scheme for name, scheme in schemes.items() if "engine" in scheme.defaults()}
    assert with_engines
    for name, scheme in with_engines.items():
        unknown: dict[str, Any] = {"engine": "none of them"}
        with pytest.raises(ConfigError) as refusal:
            scheme(**unknown)
        engines = str(refusal.value).partition(" is not one of ")[2].split(", ")
        assert {job.scheme.options()["engine"] for job in jobs_of("smoke") if job.scheme.name == name} == set(engines)


def test_every_variant_of_the_taxonomy_is_in_it() -> None:
    assert {choices(job.scheme) for job in jobs_of("taxonomy")} <= {choices(job.scheme) for job in jobs_of("smoke")}


def test_nothing_of_it_is_downloaded_or_calibrated() -> None:
    assert {job.dataset.name for job in jobs_of("smoke")} == {"digits", "digits_28"}
    assert not any(job.measure.calibrate for job in jobs_of("smoke"))


def test_the_baseline_is_of_the_same_jobs() -> None:
    def asked(job: Job | JobRecord) -> str:
        configured = job.to_config() if isinstance(job, Job) else job.config
        decides = {section: configured[section] for section in ("scheme", "dataset", "model", "task", "seed")}
        return json.dumps(decides, sort_keys=True)

    assert {asked(job) for job in baseline()} == {asked(job) for job in jobs_of("smoke")}
    assert {job.status for job in baseline()} == {"ok"}


def answering() -> list[JobRecord]:
    """All but the one whose results are no answers."""
    return [job for job in baseline() if job.scheme != "dp_publishing"]


@functools.cache
def all_worse() -> Compared:
    """As if each sent 10 % more bytes, took one round more and answered 3 points worse."""
    changes = times("payload_bytes_sent", 1.1), plus("rounds", 1), plus("accuracy", -0.03)
    return compare(answering(), [functools.reduce(changed, changes, job) for job in answering()])


def regressions(metric: str) -> int:
    return sum(one.metric == metric and one.is_regression for one in all_worse().comparisons)


def test_of_each_of_its_schemes_more_bytes_and_one_round_more_are_told() -> None:
    assert regressions("up_bytes_per_sample") == regressions("rounds") == len(answering())


def test_three_points_less_are_told_where_many_answers_are_nearly_all_right() -> None:
    good = summary(answering()).query("n_samples >= @N_MANY and accuracy >= 0.98")
    assert len(good) > len(answering()) / 2
    assert regressions("accuracy") >= len(good)
    rest = [one for one in all_worse().comparisons if one.metric == "accuracy" and not one.is_regression]
    assert {one.verdict for one in rest} == {"cannot tell"}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("before")
    measure(Plaintext(), folder)
    return folder


@pytest.mark.parametrize(
    ("scheme", "metric"),
    [(TenPercentMoreBytes(), "up_bytes_per_sample"), (OneRoundMore(), "rounds"), (ThreePointsWorse(), "accuracy")],
)
def test_what_a_careless_change_makes_dearer_or_worse_is_named(
    scheme: Plaintext, metric: str, before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measure(scheme, tmp_path)
    assert main(["compare", str(before), str(tmp_path)]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if f"| {metric} " in line]
    assert "plaintext" in line
    assert " worse " in line
