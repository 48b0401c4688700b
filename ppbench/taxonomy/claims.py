"""What the paper says in numbers or as good as, each beside what was measured (claims.csv and claims.md)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from ppbench import units
from ppbench.records import write_file
from ppbench.report.table import markdown_table
from ppbench.taxonomy.rows import TaxonomyRow
from ppbench.taxonomy.table import times
from ppbench.taxonomy.thresholds import Thresholds

_HOMOMORPHIC = "homomorphic encryption"
_SQUARE_MODELS = ("square_tutorial", "cryptonets")
_MILLIONS = 1e6
_PAPERS_DROP = 0.007
_SIGNIFICANT_DROP = 0.05
"""The paper gives no number for "significantly degraded": five points of accuracy."""
NOT_MEASURED_HERE = "not measured here"


@dataclasses.dataclass(frozen=True)
class Claim:
    """A sentence of the paper, and what came of it."""

    claim: str
    where: str
    """In the paper."""
    paper: str
    measured: str
    verdict: str
    """`reproduced`, `not reproduced`, `reproduced only ...`, or `not measured here`."""


def claims(rows: Sequence[TaxonomyRow], thresholds: Thresholds) -> list[Claim]:
    """Each of the paper's claims against the rows of one results folder."""
    measured = [row for row in rows if row.group.measured]
    encrypted = [row for row in measured if row.card and _HOMOMORPHIC in row.card.taxonomy]
    obfnets = [row for row in measured if row.group.scheme == "obfnet"]
    noisy = [row for row in measured if row.card and row.card.taxonomy == ("inference", "additive perturbation")]
    return [
        _millions([row for row in encrypted if row.overhead.times_random_projection is not None]),
        _swelling([row for row in encrypted if row.overhead.expansion is not None]),
        _rounds([row for row in measured if _is_interactive(row) and row.overhead.rounds is not None], thresholds),
        _accuracy_drop(obfnets),
        _lighter_than(obfnets, measured, small=False),
        _lighter_than(obfnets, measured, small=True),
        _affordable([row for row in obfnets if row.cost is not None]),
        _additive(noisy),
        _square(encrypted),
    ]


def write_claims(rows: Sequence[TaxonomyRow], thresholds: Thresholds, results_dir: Path) -> list[Path]:
    """Write claims.csv and claims.md; returns their paths, none if there are no rows."""
    if not rows:
        return []
    found = claims(rows, thresholds)
    paths = [results_dir / "claims.csv", results_dir / "claims.md"]
    table = pd.DataFrame([dataclasses.asdict(claim) for claim in found])
    write_file(paths[0], table.to_csv(index=False).encode())
    write_file(paths[1], _markdown(found).encode())
    return paths


def _markdown(found: Sequence[Claim]) -> str:
    cells = [[str(i), claim.claim, claim.where, claim.paper, claim.verdict] for i, claim in enumerate(found, 1)]
    lines = markdown_table(("", "claim", "where", "paper", "verdict"), cells, n_text_columns=5)
    lines += ["", "Measured (n: samples):", ""]
    return "\n".join([*lines, *(f"{i}. {claim.measured}" for i, claim in enumerate(found, 1))]) + "\n"


def _millions(rows: Sequence[TaxonomyRow]) -> Claim:
    ratios = {row.name: row.overhead.times_random_projection or 0.0 for row in rows}
    return Claim(
        "homomorphic encryption costs millions of times what a multiplicative obfuscation does",
        "section 2.1.2, after [26]",
        "1,000,000 times and more",
        _listed(rows, lambda row: f"{times(ratios[row.name])} times the CPU time of a random projection"),
        _verdict(rows, lambda row: ratios[row.name] >= _MILLIONS),
    )


def _swelling(rows: Sequence[TaxonomyRow]) -> Claim:
    return Claim(
        "ciphertexts have higher data volumes than the plaintexts",
        "section 2",
        "data swelling",
        _listed(rows, lambda row: f"{times(row.overhead.expansion)} times plaintext's bytes up"),
        _verdict(rows, lambda row: (row.overhead.expansion or 0.0) > 1),
    )


def _rounds(rows: Sequence[TaxonomyRow], thresholds: Thresholds) -> Claim:
    return Claim(
        "MPC requires many rounds of communication",
        "section 2.2.2",
        "many rounds",
        _listed(rows, lambda row: f"{units.number(row.overhead.rounds)} rounds"),
        _verdict(rows, lambda row: (row.overhead.rounds or 0.0) > thresholds.iterative_above_rounds),
    )


def _accuracy_drop(obfnets: Sequence[TaxonomyRow]) -> Claim:
    drops = {row.name: drop for row in obfnets if (drop := _drop(row)) is not None}
    shown = [row for row in obfnets if row.name in drops]
    margins = {row.name: _two_standard_errors(row) for row in shown}
    return Claim(
        "ObfNet's accuracy drop is only 0.7 %",
        "section 3.3",
        "0.7 percentage points (ObfNet2, the mean of ten)",
        _listed(shown, lambda row: f"{100 * drops[row.name]:.2f} ± {100 * margins[row.name]:.2f} points"),
        _verdict(shown, lambda row: drops[row.name] <= _PAPERS_DROP + margins[row.name]),
    )


def _lighter_than(obfnets: Sequence[TaxonomyRow], rows: Sequence[TaxonomyRow], small: bool) -> Claim:
    """Lighter is what takes less measured CPU time, and less modelled time on the reference device."""
    reference = next((row for row in rows if row.group.scheme == "local" and row.group.is_small_model == small), None)
    ratios = {row.name: ratio for row in obfnets if reference and (ratio := _cost_ratios(row, reference)) is not None}
    shown = [row for row in obfnets if row.name in ratios]
    what = "a small model on the device" if small else "the model it protects"
    return Claim(
        f"ObfNet is lightweight: lighter than {what}",
        "section 3.1",
        "lightweight",
        _listed(
            shown,
            lambda row: (
                f"{ratios[row.name][0]:.2g} times its CPU time, {ratios[row.name][1]:.2g} times its modelled time"
            ),
        ),
        _verdict(shown, lambda row: max(ratios[row.name]) < 1),
    )


def _affordable(rows: Sequence[TaxonomyRow]) -> Claim:
    return Claim(
        "ObfNet is affordable to resource-constrained IoT objects",
        "section 3.1",
        "affordable",
        _listed(rows, lambda row: f"{units.seconds(row.overhead.device_s_per_sample)} modelled, {_fit(row)}"),
        _verdict(rows, lambda row: not row.overhead.misfit) + (" on a condition" if any(map(_condition, rows)) else ""),
    )


def _fit(row: TaxonomyRow) -> str:
    return row.overhead.misfit or _condition(row) or "fits"


def _condition(row: TaxonomyRow) -> str:
    """Under which the device can hold it, if there is one."""
    return row.cost.reason if row.cost and row.cost.feasible else ""


def _additive(rows: Sequence[TaxonomyRow]) -> Claim:
    drops = {row.name: drop for row in rows if (drop := _drop(row)) is not None}
    shown = [row for row in rows if row.name in drops]
    return Claim(
        "additive perturbation is not advisable for deep models",
        "section 2.2, after [48]",
        "accuracy can be significantly degraded by small perturbations "
        f"(here: by more than {100 * _SIGNIFICANT_DROP:g} points)",
        _listed(shown, lambda row: f"{100 * drops[row.name]:.2f} points at {_epsilon(row)}"),
        _verdict(shown, lambda row: drops[row.name] > _SIGNIFICANT_DROP),
    )


def _square(rows: Sequence[TaxonomyRow]) -> Claim:
    """Barni's participant applies the activations itself: any will do, in two rounds a layer."""
    return Claim(
        "a square activation is needed",
        "section 2.2.1",
        "instead of a sigmoid or ReLU",
        _listed(
            rows,
            lambda row: (
                f"{row.job.model}, {units.number(row.overhead.rounds)} rounds, "
                f"agreement {units.percent(row.group.median('agreement'))}"
            ),
        ),
        _verdict(rows, lambda row: row.job.model in _SQUARE_MODELS),
    )


def _verdict(rows: Sequence[TaxonomyRow], holds: Callable[[TaxonomyRow], bool]) -> str:
    if not rows:
        return NOT_MEASURED_HERE
    holding = [row.name for row in rows if holds(row)]
    if len(holding) == len(rows):
        return "reproduced"
    return f"reproduced only by {', '.join(holding)}" if holding else "not reproduced"


def _listed(rows: Sequence[TaxonomyRow], text: Callable[[TaxonomyRow], str]) -> str:
    counted = [f"{row.name}: {text(row)} (n={units.number(row.group.median('n_samples'))})" for row in rows]
    return "; ".join(counted) or NOT_MEASURED_HERE


def _is_interactive(row: TaxonomyRow) -> bool:
    return row.card is not None and row.card.task == "inference" and row.card.communication == "iterative"


def _drop(row: TaxonomyRow) -> float | None:
    clear, own = row.group.median("accuracy_plaintext"), row.group.median("accuracy")
    return None if clear is None or own is None else clear - own


def _two_standard_errors(row: TaxonomyRow) -> float:
    """Of a difference of two accuracies on the same samples, where at most all mistakes differ."""
    errors = sum(1 - (row.group.median(column) or 1.0) for column in ("accuracy", "accuracy_plaintext"))
    return 2 * math.sqrt(errors / (row.group.median("n_samples") or 1.0))


def _cost_ratios(row: TaxonomyRow, reference: TaxonomyRow) -> tuple[float, float] | None:
    cpu_s = [other.group.median("participant_cpu_s_per_sample") for other in (row, reference)]
    device_s = [other.overhead.device_s_per_sample for other in (row, reference)]
    if not all(cpu_s) or not all(device_s):
        return None
    return cpu_s[0] / cpu_s[1], device_s[0] / device_s[1]  # type: ignore[operator]


def _epsilon(row: TaxonomyRow) -> str:
    epsilon = row.group.median("epsilon")
    return "no epsilon" if epsilon is None else f"epsilon {units.number(epsilon)}"
