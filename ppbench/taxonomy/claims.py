"""What the paper says in numbers or as good as, each beside what was measured (claims.csv, and the table of it).

A claim is judged by the rows of its own data set and model, where it has some, each row by itself: what is measured
with a margin holds, or does not, with all of its interval; else the row is undecided. A claim is reproduced if all rows
hold, not reproduced if one does not, and else undecided.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from ppbench import units
from ppbench.records import write_file
from ppbench.report.paper.comparison import papers_name
from ppbench.report.table import Table, text_columns
from ppbench.report.table_files import write_table
from ppbench.taxonomy.rows import TaxonomyRow
from ppbench.taxonomy.table import times
from ppbench.taxonomy.thresholds import Thresholds

Verdict = Literal["reproduced", "not reproduced", "undecided"]

NOT_MEASURED_HERE = "not measured here"
_ANY = "any"
_PAPERS_TASK = ("mnist", "lenet")
"""Data set and model of section 3.3."""
_HOMOMORPHIC = "homomorphic encryption"
_SQUARE_MODELS = ("square_tutorial", "cryptonets")
_MILLIONS = 1e6
_PAPERS_DROP = 0.007
_SIGNIFICANT_DROP = 0.05
"""The paper gives no number for "significantly degraded": five points of accuracy."""


@dataclasses.dataclass(frozen=True)
class Claim:
    """A sentence of the paper, and what came of it."""

    claim: str
    where: str
    """In the paper."""
    paper: str
    dataset: str
    """Which the claim is about; `any` where the paper names none."""
    model: str
    measured: str
    verdict: Verdict
    reason: str
    """Why it is undecided, or for which rows alone it holds; empty if there is nothing to add."""


@dataclasses.dataclass(frozen=True)
class _Statement:
    """A claim before it is judged."""

    claim: str
    where: str
    paper: str
    task: tuple[str, str] = (_ANY, _ANY)
    """Data set and model."""

    def judged(
        self,
        rows: Sequence[TaxonomyRow],
        text: Callable[[TaxonomyRow], str],
        holds: Callable[[TaxonomyRow], bool | None],
        remark: str = "",
    ) -> Claim:
        """By the rows that are about it; `holds` is None for one that does not decide it."""
        own = [
            row for row in rows if all(is_of in (_ANY, of) for is_of, of in zip(self.task, row.group.task, strict=True))
        ]
        verdict, reason = _verdict(own, holds) if own else ("undecided", self._unmeasured(rows))
        return Claim(
            self.claim,
            self.where,
            self.paper,
            *self.task,
            measured=_listed(own or rows, text),
            verdict=verdict,
            reason="; ".join(filter(None, (reason, remark))),
        )

    def _unmeasured(self, others: Sequence[TaxonomyRow]) -> str:
        if not others:
            return NOT_MEASURED_HERE
        tasks = dict.fromkeys(" with ".join(row.group.task) for row in others)
        return f"it is about {' with '.join(self.task)}, and measured here is {', '.join(tasks)}"


@dataclasses.dataclass(frozen=True)
class _Drop:
    """By how much the answers of a row are less accurate than the model on the clear samples, as a share of samples."""

    best: float
    margin: float

    @classmethod
    def of(cls, row: TaxonomyRow) -> _Drop | None:
        """With two standard errors; None if it was not measured.

        Of a difference on the same samples, by Agresti & Min (Statistics in Medicine 24, 2005), who count half a sample
        more of each outcome: no difference in a few samples is no proof. Samples that one of the two has right are at
        most those that they answer differently, and at most all mistakes.
        """
        accuracies = [row.group.median(column) for column in ("accuracy_plaintext", "accuracy")]
        n_samples, agreement = row.group.median("n_samples"), row.group.median("agreement")
        clear, own = accuracies
        if clear is None or own is None or not n_samples:
            return None
        differing = min(2 - clear - own, 1.0 if agreement is None else 1 - agreement)
        return cls(clear - own, 2 * math.sqrt(max(0.0, differing) * n_samples + 1) / (n_samples + 2))

    def is_above(self, limit: float) -> bool | None:
        """None where the limit lies within the margin."""
        if abs(self.best - limit) <= self.margin:
            return None
        return self.best > limit

    @property
    def text(self) -> str:
        return f"{100 * self.best:.2f} ± {100 * self.margin:.2f} points"


def claims(rows: Sequence[TaxonomyRow], thresholds: Thresholds) -> list[Claim]:
    """Each of the paper's claims against the rows of one results folder."""
    measured = [row for row in rows if row.group.measured]
    encrypted = [row for row in measured if row.card and _HOMOMORPHIC in row.card.taxonomy]
    obfnets = [row for row in measured if row.group.scheme == "obfnet"]
    noisy = [row for row in measured if row.card and row.card.taxonomy == ("inference", "additive perturbation")]
    return [
        _millions([row for row in encrypted if row.overhead.times_random_projection is not None]),
        _swelling([row for row in encrypted if row.overhead.times_plaintext is not None]),
        _rounds([row for row in measured if _is_interactive(row) and row.overhead.rounds is not None], thresholds),
        _accuracy_drop(obfnets),
        _lighter_than(obfnets, measured, small=False),
        _lighter_than(obfnets, measured, small=True),
        _affordable([row for row in obfnets if row.cost is not None]),
        _additive(noisy),
        _square(encrypted),
    ]


def write_claims(rows: Sequence[TaxonomyRow], thresholds: Thresholds, results_dir: Path) -> list[Path]:
    """Write all of it; returns the paths, none if there are no rows."""
    if not rows:
        return []
    found = claims(rows, thresholds)
    path = results_dir / "claims.csv"
    write_file(path, pd.DataFrame([dataclasses.asdict(claim) for claim in found]).to_csv(index=False).encode())
    return [path, *write_table("claims", [_table(found)], results_dir)]


def _table(found: Sequence[Claim]) -> Table:
    return Table(
        "What the paper claims, and whether it was reproduced",
        text_columns("", "claim", "where", "paper", "data set", "model", "verdict", "reason"),
        tuple(
            (str(i), claim.claim, claim.where, claim.paper, claim.dataset, claim.model, claim.verdict, claim.reason)
            for i, claim in enumerate(found, 1)
        ),
        notes=("reason: why it is undecided, or for which rows alone it holds.",),
        details=(
            "Measured (data set with model; n: samples):",
            "",
            *(f"{i}. {claim.measured}" for i, claim in enumerate(found, 1)),
        ),
    )


def _millions(rows: Sequence[TaxonomyRow]) -> Claim:
    ratios = {row.name: row.overhead.times_random_projection or 0.0 for row in rows}
    return _Statement(
        "homomorphic encryption costs millions of times what a multiplicative obfuscation does",
        "section 2.1.2, after [26]",
        "1,000,000 times and more",
    ).judged(
        rows,
        lambda row: f"{times(ratios[row.name])} times the CPU time of a random projection",
        lambda row: ratios[row.name] >= _MILLIONS,
    )


def _swelling(rows: Sequence[TaxonomyRow]) -> Claim:
    return _Statement(
        "ciphertexts have higher data volumes than the plaintexts",
        "section 2",
        "data swelling",
    ).judged(
        rows,
        lambda row: f"{times(row.overhead.times_plaintext)} times plaintext's bytes up",
        lambda row: (row.overhead.times_plaintext or 0.0) > 1,
    )


def _rounds(rows: Sequence[TaxonomyRow], thresholds: Thresholds) -> Claim:
    return _Statement(
        "MPC requires many rounds of communication",
        "section 2.2.2",
        "many rounds",
    ).judged(
        rows,
        lambda row: f"{units.number(row.overhead.rounds)} rounds",
        lambda row: (row.overhead.rounds or 0.0) > thresholds.iterative_above_rounds,
    )


def _accuracy_drop(obfnets: Sequence[TaxonomyRow]) -> Claim:
    """Of the paper's own ObfNet2: another encoding or width is another scheme."""
    drops = {row.name: drop for row in obfnets if papers_name(row.job) == "ObfNet2" and (drop := _Drop.of(row))}
    return _Statement(
        "ObfNet's accuracy drop is only 0.7 %",
        "section 3.3",
        "0.7 percentage points (ObfNet2, the mean of ten)",
        _PAPERS_TASK,
    ).judged(
        [row for row in obfnets if row.name in drops],
        lambda row: drops[row.name].text,
        lambda row: _negated(drops[row.name].is_above(_PAPERS_DROP)),
    )


def _lighter_than(obfnets: Sequence[TaxonomyRow], rows: Sequence[TaxonomyRow], small: bool) -> Claim:
    """Lighter is what takes less measured CPU time, and less modelled time on the reference device."""
    references = {
        row.group.task: row
        for row in reversed(rows)
        if row.group.scheme == "local" and row.group.is_small_model == small
    }
    ratios = {
        row.name: ratio
        for row in obfnets
        if row.group.task in references and (ratio := _cost_ratios(row, references[row.group.task])) is not None
    }
    what = "a small model on the device" if small else "the model it protects"
    return _Statement(f"ObfNet is lightweight: lighter than {what}", "section 3.1", "lightweight", _PAPERS_TASK).judged(
        [row for row in obfnets if row.name in ratios],
        lambda row: f"{ratios[row.name][0]:.2g} times its CPU time, {ratios[row.name][1]:.2g} times its modelled time",
        lambda row: max(ratios[row.name]) < 1,
    )


def _affordable(rows: Sequence[TaxonomyRow]) -> Claim:
    return _Statement(
        "ObfNet is affordable to resource-constrained IoT objects", "section 3.1", "affordable", _PAPERS_TASK
    ).judged(
        rows,
        lambda row: f"{units.seconds(row.overhead.device_s_per_sample)} modelled, {_fit(row)}",
        lambda row: not row.overhead.misfit,
        remark="on a condition" if any(map(_condition, rows)) else "",
    )


def _fit(row: TaxonomyRow) -> str:
    return row.overhead.misfit or _condition(row) or "fits"


def _condition(row: TaxonomyRow) -> str:
    """Under which the device can hold it, if there is one."""
    return row.cost.reason if row.cost and row.cost.feasible else ""


def _additive(rows: Sequence[TaxonomyRow]) -> Claim:
    drops = {row.name: drop for row in rows if (drop := _Drop.of(row))}
    return _Statement(
        "additive perturbation is not advisable for deep models",
        "section 2.2, after [48]",
        "accuracy can be significantly degraded by small perturbations "
        f"(here: by more than {100 * _SIGNIFICANT_DROP:g} points)",
        _PAPERS_TASK,
    ).judged(
        [row for row in rows if row.name in drops],
        lambda row: f"{drops[row.name].text} at {_epsilon(row)}",
        lambda row: drops[row.name].is_above(_SIGNIFICANT_DROP),
    )


def _square(rows: Sequence[TaxonomyRow]) -> Claim:
    """Barni's participant applies the activations itself: any will do, in two rounds a layer."""
    return _Statement("a square activation is needed", "section 2.2.1", "instead of a sigmoid or ReLU").judged(
        rows,
        lambda row: (
            f"{units.number(row.overhead.rounds)} rounds, agreement {units.percent(row.group.median('agreement'))}"
        ),
        lambda row: row.job.model in _SQUARE_MODELS,
    )


def _verdict(rows: Sequence[TaxonomyRow], holds: Callable[[TaxonomyRow], bool | None]) -> tuple[Verdict, str]:
    judged = {row.name: holds(row) for row in rows}
    holding = [name for name, held in judged.items() if held]
    undecided = [name for name, held in judged.items() if held is None]
    if len(holding) == len(rows):
        return "reproduced", ""
    if len(holding) + len(undecided) < len(rows):
        return "not reproduced", f"only by {', '.join(holding)}" if holding else ""
    return "undecided", f"the limit lies within the margin of {', '.join(undecided)}"


def _negated(judged: bool | None) -> bool | None:
    return None if judged is None else not judged


def _listed(rows: Sequence[TaxonomyRow], text: Callable[[TaxonomyRow], str]) -> str:
    counted = [
        f"{row.name}: {text(row)} ({' with '.join(row.group.task)}, n={units.number(row.group.median('n_samples'))})"
        for row in rows
    ]
    return "; ".join(counted) or NOT_MEASURED_HERE


def _is_interactive(row: TaxonomyRow) -> bool:
    return row.card is not None and row.card.task == "inference" and row.card.communication == "iterative"


def _cost_ratios(row: TaxonomyRow, reference: TaxonomyRow) -> tuple[float, float] | None:
    cpu_s = [other.group.median("participant_cpu_s_per_sample") for other in (row, reference)]
    device_s = [other.overhead.device_s_per_sample for other in (row, reference)]
    if not all(cpu_s) or not all(device_s):
        return None
    return cpu_s[0] / cpu_s[1], device_s[0] / device_s[1]  # type: ignore[operator]


def _epsilon(row: TaxonomyRow) -> str:
    epsilon = row.group.median("epsilon")
    return "no epsilon" if epsilon is None else f"epsilon {units.number(epsilon)}"
