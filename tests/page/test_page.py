"""report.html as a file: what is in it, that it needs nothing else, and that nobody's words become markup."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ppbench.app import config
from ppbench.page.command import command
from ppbench.page.payload import MOST_ROWS
from ppbench.page.write import write_page
from ppbench.records import JobRecord, Record
from ppbench.report.groups import grouped
from ppbench.store import read_all
from tests.helpers.committed import quickstart
from tests.helpers.paths import FIXTURES, RESULTS

LARGEST_BYTES = 1_500_000


def written(jobs: Sequence[JobRecord], folder: Path) -> str:
    (path,) = write_page(grouped(jobs), folder)
    assert path.stat().st_size < LARGEST_BYTES
    return path.read_text(encoding="utf-8")


def data_of(page: str) -> Any:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(found)


@pytest.fixture(scope="module")
def taxonomy() -> list[JobRecord]:
    return read_all(RESULTS / "taxonomy")


@pytest.fixture(scope="module")
def page(taxonomy: list[JobRecord], tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(taxonomy, tmp_path_factory.mktemp("taxonomy"))


def test_the_page_asks_nobody_for_anything(page: str) -> None:
    markup = re.sub(r'<script type="application/json".*?</script>', "", page, flags=re.S)
    assert re.findall(r'(?:src|href|action)="(?!#|data:)[^"]*"', markup) == []
    assert re.findall(r"@import|url\(|\bfetch\(|XMLHttpRequest|WebSocket|sendBeacon|import\(", markup) == []
    assert "default-src 'none'" in markup


def test_every_measured_scheme_is_in_it_with_its_labels_and_details(page: str, taxonomy: list[JobRecord]) -> None:
    data = data_of(page)
    table = pd.read_csv(RESULTS / "taxonomy" / "taxonomy.csv")
    assert {row["name"] for row in data["rows"]} == set(table[table.status == "ok"].name)
    assert all(row["details"] for row in data["rows"])
    told = {row["name"]: row["computation"]["measured"] for row in data["rows"]}
    assert told == dict(zip(table.name, table.computation_measured, strict=True))
    assert len(data["claims"]) == len(pd.read_csv(RESULTS / "taxonomy" / "claims.csv"))
    baselines = [row["scheme"] for row in data["rows"] if row["is_baseline"]]
    assert set(baselines) == {"plaintext", "local"}
    assert {party for row in data["rows"] for party in row["third_parties"]} == {"dealer", "curator"}


def test_what_failed_is_in_it_with_its_reason(tmp_path: Path) -> None:
    job = quickstart()[-1]
    failed = job.model_copy(update={"status": "failed", "reason": "participant-0 died", "records": [], "seed": 7})
    data = data_of(written([*quickstart()[:2], failed], tmp_path))
    assert [(one["status"], one["reason"], one["seed"]) for one in data["not_measured"]] == [
        ("failed", "participant-0 died", 7)
    ]


def test_nobodys_words_become_markup(tmp_path: Path) -> None:
    words = "</script><script>alert('read me')</script><!--"
    job = quickstart()[0]
    strange = job.model_copy(update={"scheme": "theirs", "variant": words, "id": "1"})
    failed = job.model_copy(update={"status": "failed", "reason": words, "records": [], "id": "2"})
    folder = tmp_path / "<b>folder"
    folder.mkdir()
    page = written([*quickstart(), strange, failed], folder)
    assert words not in page
    assert "<b>folder" not in page.replace(json.dumps("<b>folder"), "")
    data = data_of(page)
    assert words in {one["reason"] for one in data["not_measured"]}
    assert any(words in row["label"] for row in data["rows"])


def test_jobs_without_calibration_or_of_an_old_version_are_shown_too(tmp_path: Path) -> None:
    data = data_of(written(read_all(FIXTURES / "results_v1"), tmp_path))
    assert data["rows"]
    assert all(row["inputs"]["compute"] is None for row in data["rows"])
    assert all("calibrat" in row["inputs"]["why_no_compute"] for row in data["rows"])


def test_nothing_is_written_where_nothing_was_measured(tmp_path: Path) -> None:
    failed = quickstart()[0].model_copy(update={"status": "failed", "reason": "no", "records": []})
    assert write_page(grouped([failed]), tmp_path) == []


def test_of_very_many_variants_the_page_says_how_many_it_has(tmp_path: Path) -> None:
    first, *_, last = quickstart()
    kept = [r for r in last.records if r.repetition in (None, 0) and r.batch in (None, 0)]

    def slower(i: int) -> list[Record]:
        return [dataclasses.replace(r, value=r.value * (1 + i / 100)) if r.unit == "s" else r for r in kept]

    variants = [
        last.model_copy(
            update={
                "id": f"{i:016}",
                "variant": f"width={i}",
                "config": {**last.config, "scheme": {**last.config["scheme"], "width": i}},
                "records": slower(i),
            }
        )
        for i in range(MOST_ROWS + 50)
    ]
    data = data_of(written([first, *variants], tmp_path))
    assert len(data["rows"]) == MOST_ROWS
    assert data["n_all_rows"] == MOST_ROWS + 51
    assert data["rows"][0]["scheme"] == first.scheme
    assert 0 < data["n_detailed"] < MOST_ROWS
    assert [bool(row["details"]) for row in data["rows"]].count(True) == data["n_detailed"]


def test_the_command_in_it_asks_for_the_same_job() -> None:
    config.register()
    for job in [*quickstart()[::5], read_all(RESULTS / "participants")[-1]]:
        program, verb, *overrides = shlex.split(command(job))
        assert (program, verb) == ("ppbench", "run")
        (composed,) = config.compose_all(overrides).jobs
        again = json.loads(json.dumps(config.to_job(composed).to_config()))
        assert again["seed"] == job.seed
        for section in ("scheme", "dataset", "model", "task", "measure"):
            # What an older version did not have is at its default.
            assert job.config[section].items() <= again[section].items(), section
