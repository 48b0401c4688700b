"""A claim is judged on its own data set and model, and with a margin: by jobs of the committed results, altered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from ppbench.modelled.devices import load_device
from ppbench.records import JobRecord
from ppbench.report.groups import grouped
from ppbench.taxonomy.claims import NOT_MEASURED_HERE, Claim, claims, write_claims
from ppbench.taxonomy.rows import taxonomy_rows
from ppbench.taxonomy.thresholds import load_thresholds
from tests.helpers.committed import altered, measured

THRESHOLDS = load_thresholds()
DEVICE = load_device(THRESHOLDS.reference_device)
DROP = "ObfNet's accuracy drop is only 0.7 %"
NOISE = "additive perturbation is not advisable for deep models"
TUNED = "mechanism=gaussian,norm=l2,clip=5.0,encoding=uint8,recovery=fine_tuned"
LIGHTER = "ObfNet is lightweight: lighter than the model it protects"


def losing(points: float, n_samples: int, task: tuple[str, str] = ("mnist", "lenet")) -> JobRecord:
    """ObfNet2 with so much less accuracy than its model has."""
    share = points / 100
    values = {"accuracy": 0.99 - share, "accuracy_plaintext": 0.99, "agreement": 1 - share, "n_samples": n_samples}
    return altered(measured("obfnet"), task, **values)


def judged(claim: str, *jobs: JobRecord) -> Claim:
    rows = taxonomy_rows(grouped(jobs), THRESHOLDS, DEVICE)
    return next(found for found in claims(rows, THRESHOLDS) if found.claim == claim)


def test_thirty_samples_of_another_data_set_decide_nothing() -> None:
    claim = judged(DROP, losing(6.67, 30, task=("digits", "mlp")))
    assert (claim.dataset, claim.model) == ("mnist", "lenet")
    assert (claim.verdict, claim.reason) == (
        "undecided",
        "it is about mnist with lenet, and measured here is digits with mlp",
    )
    assert "6.67 ± " in claim.measured
    assert "digits with mlp, n=30" in claim.measured


@pytest.mark.parametrize("task", [("mnist", "mlp"), ("digits", "lenet")])
def test_data_set_and_model_both_have_to_be_the_claims(task: tuple[str, str]) -> None:
    assert judged(DROP, losing(0.1, 10_000, task)).verdict == "undecided"


@pytest.mark.parametrize(
    ("points", "n_samples", "verdict"),
    [
        (6.67, 30, "undecided"),
        (0.0, 30, "undecided"),
        (0.66, 10_000, "undecided"),
        (0.74, 10_000, "undecided"),
        (0.3, 10_000, "reproduced"),
        (-0.2, 10_000, "reproduced"),
        (1.5, 10_000, "not reproduced"),
        (60.0, 30, "not reproduced"),
    ],
)
def test_the_drop_with_its_margin_has_to_be_on_one_side(points: float, n_samples: int, verdict: str) -> None:
    claim = judged(DROP, losing(points, n_samples))
    assert claim.verdict == verdict
    assert claim.reason == ("the limit lies within the margin of obfnet" if verdict == "undecided" else "")


def test_no_difference_in_few_samples_has_a_margin() -> None:
    assert "0.00 ± 6.25 points" in judged(DROP, losing(0.0, 30)).measured


def test_the_papers_own_obfnet_is_judged_and_no_other() -> None:
    good, bad = losing(0.1, 10_000), losing(9.0, 10_000)
    other = bad.model_copy(
        update={"variant": "encoding=uint8", "config": {**bad.config, "scheme": {**bad.config["scheme"]}}}
    )
    other.config["scheme"]["encoding"] = "uint8"
    assert judged(DROP, good, other).verdict == "reproduced"
    assert judged(DROP, other).reason == NOT_MEASURED_HERE


def test_a_claim_about_all_fails_with_one_and_names_those_for_which_it_holds() -> None:
    noise, tuned = altered(measured("additive_noise")), altered(measured("additive_noise", TUNED))
    claim = judged(NOISE, noise, tuned)
    assert (claim.verdict, claim.reason) == ("not reproduced", "only by additive_noise")
    assert judged(NOISE, noise).verdict == "reproduced"
    assert judged(NOISE, altered(noise, n_samples=1, agreement=0.0)).verdict == "undecided"


def test_lighter_is_lighter_than_the_same_model() -> None:
    obfnet, local = altered(measured("obfnet")), altered(measured("local"))
    heavy = altered(local, ("mnist", "huge"), cpu_s=1e3)
    assert judged(LIGHTER, obfnet, local).verdict == "not reproduced"
    assert judged(LIGHTER, heavy, obfnet, local).verdict == "not reproduced"
    assert judged(LIGHTER, heavy, obfnet).reason == NOT_MEASURED_HERE


def test_verdict_and_reason_are_in_both_files(tmp_path: Path) -> None:
    jobs: Sequence[JobRecord] = [losing(0.66, 10_000), measured("local")]
    write_claims(taxonomy_rows(grouped(jobs), THRESHOLDS, DEVICE), THRESHOLDS, tmp_path)
    table = pd.read_csv(tmp_path / "claims.csv", keep_default_na=False).set_index("claim")
    assert set(table.verdict) <= {"reproduced", "not reproduced", "undecided"}
    assert (table.reason[table.verdict == "undecided"] != "").all()
    assert set(table.dataset) == {"any", "mnist"}
    text = (tmp_path / "tables/claims.md").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("| 4 |")]
    verdict, reason = (cell.strip() for cell in line.split("|")[7:9])
    assert (verdict, reason) == ("undecided", "the limit lies within the margin of obfnet")
