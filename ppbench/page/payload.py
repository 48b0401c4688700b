"""All that the page shows, as one tree that JSON can hold."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ppbench import __version__
from ppbench.errors import PpbenchError
from ppbench.modelled.devices import devices, load_device
from ppbench.modelled.link_cost import links
from ppbench.page.details import details, scheme_words
from ppbench.page.inputs import CONSTANTS, model_inputs
from ppbench.party import role_of
from ppbench.records import JobRecord
from ppbench.registry import SCHEMES
from ppbench.report.groups import Group, is_reference_only
from ppbench.report.names import short_names
from ppbench.report.one_page import best_and_worst
from ppbench.report.origin import origin
from ppbench.report.style import BASELINE_MARKER, series_styles
from ppbench.scheme import COORDINATOR, PARTICIPANT, Scheme
from ppbench.taxonomy.claims import claims
from ppbench.taxonomy.labels import REFERENCE_BYTES, CommunicationLabel, ComputationLabel
from ppbench.taxonomy.rows import TaxonomyRow, family_of, taxonomy_rows
from ppbench.taxonomy.thresholds import Thresholds, load_thresholds
from ppbench.taxonomy.tree import PAPERS_BRANCHES

MOST_ROWS = 300
"""Schemes and variants that the page shows; of more, the baselines, the cheapest and the dearest for a device."""
_DETAILS_BYTES = 500_000
"""Sections are in the page until they take so much together."""
_MEASURED = (
    "accuracy",
    "accuracy_plaintext",
    "agreement",
    "epsilon",
    "delta",
    "rounds",
    "reconstruction_mse",
    "n_samples",
    "n_train_samples",
)
_CPU = "participant_cpu_s_per_sample"


def payload(groups: Sequence[Group], folder: str) -> dict[str, Any]:
    """What `static/` draws. `folder` is what the results are called."""
    thresholds = load_thresholds()
    device = load_device(thresholds.reference_device)
    all_shown = [group for group in groups if group.measured and not is_reference_only(group, groups)]
    names = dict(zip(map(id, all_shown), short_names(all_shown), strict=True))
    shown = best_and_worst(all_shown, MOST_ROWS, _cpu_s, lambda group: group.is_baseline)
    labelled = {id(row.group): row for row in taxonomy_rows(groups, thresholds, device)}
    classes = {group.scheme: _scheme(group.scheme) for group in shown}
    rows = [
        _row(names[id(group)], group, classes[group.scheme], labelled.get(id(group)))
        for group in sorted(shown, key=lambda group: _place(group, classes[group.scheme]))
    ]
    for row, style in zip(rows, _styles(rows), strict=True):
        row["style"] = style
    by_name = {names[id(group)]: group for group in shown}
    n_detailed = _add_details(rows, by_name)
    return {
        "folder": folder,
        "version": __version__,
        "origin": origin(job for group in groups for job in group.jobs),
        "constants": CONSTANTS,
        "devices": [dataclasses.asdict(one) for one in devices()],
        "links": [one.to_config() for one in links()],
        "reference_device": device.title,
        "thresholds": _borders(thresholds),
        "schemes": {name: scheme_words(scheme) for name, scheme in classes.items()},
        "rows": rows,
        "branches": PAPERS_BRANCHES,
        "claims": [dataclasses.asdict(claim) for claim in claims(list(labelled.values()), thresholds)]
        if labelled
        else [],
        "not_measured": [
            _not_measured(group.label, job) for group in groups for job in group.jobs if job.status != "ok"
        ],
        "n_all_rows": len(all_shown),
        "n_detailed": n_detailed,
        "n_references": sum(is_reference_only(group, groups) for group in groups),
    }


def as_json(tree: Mapping[str, Any]) -> str:
    """For inside a script element: nothing in it ends the element. Raises ValueError for what is no number."""
    return json.dumps(tree, allow_nan=False, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def _scheme(name: str) -> type[Scheme] | None:
    try:
        return SCHEMES.load(name)
    except PpbenchError:
        return None


def _cpu_s(group: Group) -> float:
    return group.median(_CPU) or 0.0


def _place(group: Group, scheme: type[Scheme] | None) -> tuple[bool, tuple[str, ...]]:
    """Baselines first, then as the branches of the paper's figure 1."""
    return not group.is_baseline, scheme.card.taxonomy if scheme else ()


def _row(name: str, group: Group, scheme: type[Scheme] | None, labelled: TaxonomyRow | None) -> dict[str, Any]:
    # The one whose seconds the host's calibration is about, where there is one.
    job = labelled.cost_job if labelled and labelled.cost_job else group.measured[0]
    card = scheme.card if scheme else None
    parties = {role_of(record.party) for record in job.records if record.party}
    return {
        "name": name,
        "label": group.label,
        "scheme": group.scheme,
        "family": "baseline" if group.is_baseline else family_of(card, group.scheme),
        "taxonomy": card.taxonomy if card else ["not installed here"],
        "task": job.task,
        "dataset": job.dataset,
        "model": job.model,
        "is_baseline": group.is_baseline,
        "third_parties": sorted(parties - {PARTICIPANT, COORDINATOR}),
        "batch_size": job.config["task"]["batch_size"],
        "n_seeds": group.n_seeds,
        "measured": {column: group.median(column) for column in _MEASURED},
        "computation": _computation(labelled),
        "communication": _communication(labelled),
        "inputs": model_inputs(job),
        "job": job.id,
        "details": None,
    }


def _computation(row: TaxonomyRow | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return _label(
        row.computation, row.card.computation if row.card else None, row.computation_agrees, row.computation_reason
    )


def _communication(row: TaxonomyRow | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return _label(
        row.communication,
        row.card.communication if row.card else None,
        row.communication_agrees,
        row.communication_reason,
    )


def _label(
    label: ComputationLabel | CommunicationLabel | None, paper: str | None, agrees: bool | None, reason: str
) -> dict[str, Any]:
    return {
        "measured": label.text if label else None,
        "severity": _severity(label),
        "firm": label.firm if label else None,
        "paper": paper,
        "agrees": agrees,
        "reason": reason,
    }


def _severity(label: ComputationLabel | CommunicationLabel | None) -> str | None:
    """As figure 1 colours it."""
    if label is None:
        return None
    if isinstance(label, ComputationLabel):
        return {"low": "mild", "medium": "middle", "high": "severe"}[label.label]
    return "severe" if label.iterative else "middle" if label.expansion == "swelling" else "mild"


def _styles(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Colour and marker of each row: its family's, as in the plane's picture."""
    families = list(dict.fromkeys(row["family"] for row in rows if not row["is_baseline"]))
    of_family = dict(zip(families, series_styles(len(families)), strict=True))
    return [
        {"colour": "currentColor", "marker": BASELINE_MARKER}
        if row["is_baseline"]
        else {"colour": of_family[row["family"]]["color"], "marker": of_family[row["family"]]["marker"]}
        for row in rows
    ]


def _add_details(rows: Sequence[dict[str, Any]], by_name: Mapping[str, Group]) -> int:
    """As long as there is room; returns how many have theirs."""
    used = 0
    for i, row in enumerate(rows):
        found = details(by_name[row["name"]])
        used += len(as_json(found))
        if used > _DETAILS_BYTES:
            return i
        row["details"] = found
    return len(rows)


def _borders(thresholds: Thresholds) -> dict[str, Any]:
    return {
        "where": thresholds.where,
        "low_below_s": thresholds.device_s_per_sample.lower,
        "high_above_s": thresholds.device_s_per_sample.upper,
        "iterative_above_rounds": thresholds.iterative_above_rounds,
        "reference_bytes": REFERENCE_BYTES[thresholds.reference],
    }


def _not_measured(label: str, job: JobRecord) -> dict[str, Any]:
    return {
        "label": label,
        "dataset": job.dataset,
        "model": job.model,
        "seed": job.seed,
        "status": job.status,
        "reason": job.reason,
    }
