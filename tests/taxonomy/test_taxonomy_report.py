"""The taxonomy of a results folder: from a few schemes on small digits, measured once."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from omegaconf import OmegaConf

import ppbench
from ppbench import store
from ppbench.app import config
from ppbench.report.groups import grouped
from ppbench.report.names import short_names
from ppbench.taxonomy.claims import NOT_MEASURED_HERE, Claim
from ppbench.taxonomy.thresholds import COMPUTATION_LABELS
from ppbench.taxonomy.write import write_taxonomy_report
from tests.helpers.measured import report_of

TASK = ("dataset=digits", "model=mlp", "task.n_samples=100", "measure.repetitions=1")
PICTURES = ("figure1", "taxonomy_plane", "taxonomy_energy")
TABLES = ("taxonomy.csv", "claims.csv", "tables/overview.tex", "tables/taxonomy.md", "tables/claims.tex")


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Baselines, projections as four bytes a value and as two, interactive encryption, training, and a failure."""
    lines = (
        ("scheme=plaintext,local,random_projection", "task.batch_size=50"),
        ("scheme=random_projection", "scheme.encoding=float16", "task.batch_size=50"),
        ("scheme=rotation", "scheme.learner=knn", "task.batch_size=50"),
        ("scheme=plaintext,barni", "task.batch_size=1", "task.n_samples=2"),
        ("scheme=local_small", "task.batch_size=50", "measure.deadline_s=0.001"),
    )
    return report_of(tmp_path_factory.mktemp("taxonomy"), *([*TASK, *line] for line in lines))


Rows = dict[str, dict[str, Any]]


@pytest.fixture
def rows(results: Path) -> Rows:
    """Name -> column -> value; None where the cell is empty."""
    return read_rows(results)


def read_rows(folder: Path) -> Rows:
    table = pd.read_csv(folder / "taxonomy.csv").astype(object)
    records = table.where(table.notna(), None).to_dict("records")
    return {str(row["name"]): {str(column): value for column, value in row.items()} for row in records}


def test_every_scheme_is_a_row_and_plaintext_only_one(results: Path, rows: Rows) -> None:
    projections = {"random_projection", "random_projection (float16)", "rotation (knn)"}
    assert set(rows) == {"plaintext", "local", "local_small", "barni", *projections}
    assert len(pd.read_csv(results / "taxonomy.csv")) == len(rows)
    assert rows["plaintext"]["n_samples"] == 100
    assert rows["local_small"]["status"] == "failed"
    assert rows["local_small"]["computation_measured"] is None


def test_expansion_is_over_plaintext_in_batches_of_the_same_size(results: Path, rows: Rows) -> None:
    plaintext = {
        int(row["batch_size"]): float(row["up_bytes_per_sample"])
        for row in ppbench.load_summary(results).to_dict("records")
        if row["scheme"] == "plaintext"
    }
    for name, batch_size in (("barni", 1), ("random_projection", 50)):
        row = rows[name]
        assert row["expansion"] == pytest.approx(row["up_bytes_per_sample"] / plaintext[batch_size])
    assert rows["random_projection"]["expansion"] == pytest.approx(2, rel=0.05)
    assert rows["random_projection (float16)"]["expansion"] == pytest.approx(1, rel=0.05)


def test_labels_follow_from_what_was_measured(rows: Rows) -> None:
    expected = {
        "plaintext": "retention",
        "local": "compression",
        "random_projection": "swelling",
        "random_projection (float16)": "retention",
        "barni": "iterative, swelling",
    }
    assert {name: rows[name]["communication_measured"] for name in expected} == expected
    assert rows["random_projection"]["communication_reason"] == "float32 sends 2 times plaintext's bytes"
    for row in rows.values():
        if row["status"] == "ok":
            assert row["computation_measured"].split(" ")[0] in COMPUTATION_LABELS
            ends = [row[f"modelled_device_s_per_sample{end}"] for end in ("_low", "", "_high")]
            assert ends == sorted(ends)
    cheapest = min(rows[name]["times_random_projection"] for name in rows if name.startswith("random_projection"))
    assert cheapest == 1


def test_a_training_sample_counts_where_it_is_dearer(results: Path, rows: Rows) -> None:
    summary = {row["scheme"]: row for row in ppbench.load_summary(results).to_dict("records")}
    rotation = summary["rotation"]
    per_training_sample = rotation["train_up_bytes"] / rotation["n_train_samples"]
    assert rows["rotation (knn)"]["up_bytes_per_sample"] == max(per_training_sample, rotation["up_bytes_per_sample"])


def test_what_the_paper_says_stands_beside_it(results: Path, rows: Rows) -> None:
    assert rows["barni"]["computation_paper"] == "high"
    assert rows["barni"]["communication_paper"] == "iterative"
    assert rows["plaintext"]["computation_paper"] is None
    text = (results / "tables/taxonomy.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == len(rows) + 2
    assert len({len(line) for line in lines}) == 1
    assert "- local_small: failed: the deadline" in text


def test_claims_are_rows_with_a_verdict(results: Path) -> None:
    claims = pd.read_csv(results / "claims.csv")
    assert list(claims.columns) == list(Claim.__dataclass_fields__)
    verdicts = {str(row["claim"]): row["verdict"] for row in claims.to_dict("records")}
    assert verdicts["homomorphic encryption costs millions of times what a multiplicative obfuscation does"] == (
        "not reproduced"
    )
    assert verdicts["ciphertexts have higher data volumes than the plaintexts"] == "reproduced"
    assert verdicts["a square activation is needed"] == "not reproduced"
    assert verdicts["ObfNet's accuracy drop is only 0.7 %"] == "undecided"
    reasons = {str(row["claim"]): row["reason"] for row in claims.to_dict("records")}
    assert reasons["ObfNet's accuracy drop is only 0.7 %"] == NOT_MEASURED_HERE


@pytest.mark.parametrize("name", PICTURES)
def test_picture_is_a_page_wide_and_nothing_is_cut_off(results: Path, name: str) -> None:
    image = imread(results / f"figures/{name}.png")
    assert image.shape[1] == 1432
    edges = [image[0], image[-1], image[:, 0], image[:, -1]]
    assert all(np.allclose(edge, 1) for edge in edges), "something is cut off at an edge"


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("figure1", {"computation", "random_projection", "iterative, swelling", "failed here", "data synthesis"}),
        ("taxonomy_plane", {"low", "high", "swelling", "compression", "device time per sample, modelled"}),
        ("taxonomy_energy", {"computing", "radio", "random_projection", "plaintext"}),
    ],
)
def test_svg_holds_its_labels_as_text(results: Path, name: str, texts: set[str]) -> None:
    tree = ElementTree.parse(results / f"figures/{name}.svg")
    assert texts <= {"".join(element.itertext()).strip() for element in tree.iter() if element.tag.endswith("text")}


def test_nothing_is_written_without_calibration_or_plaintext(results: Path, tmp_path: Path) -> None:
    jobs = store.read_all(results)
    assert write_taxonomy_report(grouped([job for job in jobs if job.scheme != "plaintext"]), tmp_path) == []
    uncalibrated = [
        job.model_copy(update={"records": [r for r in job.records if not r.metric.startswith("calibration")]})
        for job in jobs
    ]
    assert write_taxonomy_report(grouped(uncalibrated), tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_the_same_jobs_give_the_same_tables(results: Path, tmp_path: Path) -> None:
    write_taxonomy_report(grouped(store.read_all(results)), tmp_path)
    for name in TABLES:
        assert (tmp_path / name).read_bytes() == (results / name).read_bytes()


def test_a_scheme_that_is_not_installed_here_has_no_papers_label(results: Path, tmp_path: Path) -> None:
    jobs = [
        job.model_copy(update={"scheme": "theirs"}) if job.scheme == "random_projection" else job
        for job in store.read_all(results)
    ]
    assert write_taxonomy_report(grouped(jobs), tmp_path)
    theirs = [row for row in read_rows(tmp_path).values() if row["scheme"] == "theirs"]
    assert [row["communication_measured"] for row in theirs] == ["swelling", "retention"]
    assert {row["communication_paper"] for row in theirs} == {None}


def test_the_experiment_measures_every_scheme_beside_plaintext_in_its_batch_size() -> None:
    config.register()
    jobs = [config.to_job(composed) for composed in config.compose_all(["+experiment=taxonomy"]).jobs]
    sizes = {(job.dataset.name, job.task.batch_size) for job in jobs if job.scheme.name == "plaintext"}
    assert {(job.dataset.name, job.task.batch_size) for job in jobs} == sizes
    ours = {"plaintext", "local", "obfnet", "cryptonets", "barni", "mpc", "additive_noise", "random_projection"}
    ours |= {"projection_training", "rotation", "local_dp_training", "dp_sgd", "dp_publishing"}
    assert {job.scheme.name for job in jobs} == ours
    assert all(job.measure.calibrate for job in jobs)


def test_short_names_are_those_of_the_choices_on_the_command_line(results: Path) -> None:
    job = next(job for job in store.read_all(results) if job.scheme == "plaintext")
    config.register()
    for choice, name in (
        ("scheme=barni_paillier", "barni_paillier"),
        ("scheme=cryptonets_throughput_tenseal", "cryptonets_throughput_tenseal"),
        ("scheme=obfnet scheme.encoding=uint8", "obfnet (uint8)"),
        ("scheme=obfnet1 scheme.pool_size=3", "obfnet1 (pool_size=3)"),
    ):
        composed = config.compose_all(choice.split()).jobs[0]
        options = OmegaConf.to_container(composed.scheme)
        assert isinstance(options, dict)
        changes: dict[str, Any] = {"scheme": options["name"], "config": {**job.config, "scheme": options}}
        named = job.model_copy(update=changes)
        assert short_names(grouped([named])) == [name]
