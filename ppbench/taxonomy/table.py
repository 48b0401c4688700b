"""taxonomy.csv, and the table of it: measured labels beside the paper's, how firm they are, and why they differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ppbench import units
from ppbench.modelled.devices import Device
from ppbench.records import write_file
from ppbench.report.table import Column, Table, number_columns, text_columns
from ppbench.report.table_files import write_table
from ppbench.taxonomy.labels import (
    REFERENCE_BYTES,
    CommunicationLabel,
    ComputationLabel,
    computation_in_numbers,
    label_expansion,
)
from ppbench.taxonomy.rows import TaxonomyRow
from ppbench.taxonomy.tasks import with_tasks
from ppbench.taxonomy.thresholds import Thresholds

_AGREEMENT = {True: "yes", False: "no", None: units.NOT_MEASURED}


def write_taxonomy(
    rows: Sequence[TaxonomyRow], thresholds: Thresholds, device: Device, results_dir: Path
) -> list[Path]:
    """Write all of it; returns the paths, none if there are no rows."""
    if not rows:
        return []
    path = results_dir / "taxonomy.csv"
    write_file(path, pd.DataFrame([_record(row, thresholds) for row in rows]).to_csv(index=False).encode())
    return [path, *write_table("taxonomy", [_table(rows, thresholds, device)], results_dir)]


def agreement(row: TaxonomyRow) -> str:
    """On computation and communication, in this order, such as "yes / no"."""
    return f"{_AGREEMENT[row.computation_agrees]} / {_AGREEMENT[row.communication_agrees]}"


def _record(row: TaxonomyRow, thresholds: Thresholds) -> dict[str, Any]:
    seconds = row.device_s_per_sample
    overhead = row.overhead
    amortised = {n: overhead.amortised_expansion(n) for n in thresholds.amortised_over_samples}
    return {
        "name": row.name,
        "scheme": row.group.scheme,
        "variant": row.group.variant,
        "dataset": row.job.dataset,
        "model": row.job.model,
        "n_samples": row.group.median("n_samples"),
        "batch_size": row.job.config["task"]["batch_size"],
        "status": row.job.status,
        "reason": row.job.reason,
        "computation_paper": row.card.computation if row.card else None,
        "computation_measured": row.computation.text if row.computation else None,
        "computation_agrees": row.computation_agrees,
        "computation_firm": row.computation.firm if row.computation else None,
        "computation_alternatives": "|".join(row.computation.alternatives) if row.computation else None,
        "computation_by_memory": row.computation.by_memory if row.computation else None,
        "computation_reason": row.computation_reason,
        "communication_paper": row.card.communication if row.card else None,
        "communication_measured": row.communication.text if row.communication else None,
        "communication_agrees": row.communication_agrees,
        "communication_firm": row.communication.firm if row.communication else None,
        "communication_alternatives": "|".join(row.communication.alternatives) if row.communication else None,
        "communication_reason": row.communication_reason,
        "modelled_device_s_per_sample": seconds.best if seconds else None,
        "modelled_device_s_per_sample_low": seconds.low if seconds else None,
        "modelled_device_s_per_sample_high": seconds.high if seconds else None,
        "device_misfit": overhead.misfit,
        "counted_ram_bytes": row.cost.ram_bytes if row.cost else None,
        "counted_stored_ram_bytes": row.cost.stored_ram_bytes if row.cost else None,
        "times_random_projection": overhead.times_random_projection,
        "times_plain_inference": overhead.times_plain_inference,
        "rounds": overhead.rounds,
        "train_rounds": row.group.median("train_rounds"),
        "up_bytes_per_sample": overhead.up_bytes_per_sample,
        "reference": overhead.reference,
        "reference_bytes_per_sample": overhead.reference_bytes_per_sample,
        "expansion": overhead.expansion,
        "times_plaintext": overhead.times_plaintext,
        "times_information": overhead.times_information,
        **{f"expansion_with_setup_over_{n}": value for n, value in amortised.items()},
        **{f"label_with_setup_over_{n}": _expansion_label(value, thresholds) for n, value in amortised.items()},
        "job": row.job.id,
    }


def _table(rows: Sequence[TaxonomyRow], thresholds: Thresholds, device: Device) -> Table:
    columns, cells = with_tasks(rows, _columns(thresholds), [_cells(row) for row in rows])
    return Table(
        "Measured labels of computation and communication beside the paper's",
        columns,
        cells,
        notes=_notes(rows, thresholds, device),
        details=tuple(_differences(rows)),
    )


def _columns(thresholds: Thresholds) -> tuple[Column, ...]:
    return (
        *text_columns("scheme"),
        *number_columns("n"),
        *text_columns("paper", "measured", over="computation"),
        *number_columns("device", "x projection", "x inference", over="computation"),
        *text_columns("paper", "measured", over="communication"),
        *number_columns("rounds", f"x {thresholds.reference}", "with setup over 100", over="communication"),
        *text_columns("agreement"),
    )


def _cells(row: TaxonomyRow) -> list[str]:
    overhead = row.overhead
    n_samples = row.group.median("n_samples")
    with_setup = overhead.amortised_expansion(100)
    return [
        row.name,
        units.number(n_samples) if row.group.measured else row.job.status,
        (row.card.computation if row.card else None) or units.NOT_MEASURED,
        _marked(row.computation),
        units.seconds(overhead.device_s_per_sample),
        times(overhead.times_random_projection),
        times(overhead.times_plain_inference),
        (row.card.communication if row.card else None) or units.NOT_MEASURED,
        _marked(row.communication),
        units.number(overhead.rounds),
        times(overhead.expansion),
        times(with_setup),
        agreement(row),
    ]


def times(value: float | None) -> str:
    """A ratio to three digits, such as "0.00138", "4.02" or "18,300"."""
    if value is None:
        return units.NOT_MEASURED
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def _marked(label: ComputationLabel | CommunicationLabel | None) -> str:
    """The label; with a tilde where it is not firm."""
    if label is None:
        return units.NOT_MEASURED
    return label.text if label.firm else f"{label.text} ~ {'/'.join(label.alternatives)}"


def _notes(rows: Sequence[TaxonomyRow], thresholds: Thresholds, device: Device) -> tuple[str, ...]:
    agreeing = [value for row in rows for value in (row.computation_agrees, row.communication_agrees)]
    known = [value for value in agreeing if value is not None]
    return (
        f"device: modelled seconds per sample on a {device.title}. x projection, x inference: measured CPU time over "
        "that of a random projection of the same data and of the row's own model, each where it is cheapest. "
        f"{_reference_note(thresholds)} With setup over 100: the "
        "same with all that setup moves spread over 100 samples. Of a training scheme the dearer sample counts, one to "
        "learn from or one to classify, and the rounds of training where it has more than a batch. "
        "agreement: on computation / on communication.",
        f"~ marks a label that is not firm, and what it becomes with thresholds {thresholds.firmness_factor:g} times "
        f"as high or low (computation), or {100 * thresholds.firmness_share:g} % farther from 1 or nearer "
        "(communication). (memory): too large for the device, whatever its time. "
        f"Thresholds and their reasons: {thresholds.where}. {units.NOT_MEASURED} stands for what was not measured, or "
        "for a label that the paper does not give.",
        f"{sum(known)} of {len(known)} labels are the paper's.",
    )


def _reference_note(thresholds: Thresholds) -> str:
    """What bytes are set against, and what that depends on."""
    if thresholds.reference == "plaintext":
        return (
            "x plaintext: bytes up (TCP payload) over those of plaintext in batches of the same size. These depend on "
            "the type in which samples are stored; those of communication.reference=information, which is the other "
            f"choice in {thresholds.where}, do not."
        )
    return (
        f"x information: bytes up (TCP payload) over {REFERENCE_BYTES[thresholds.reference]}, batch by batch; unknown, "
        "and without a label, where a job was measured before this was recorded."
    )


def _differences(rows: Sequence[TaxonomyRow]) -> list[str]:
    lines = []
    for row in rows:
        if row.card and row.computation and row.computation_reason:
            lines.append(
                f"- {row.name}: computation {row.computation.text}, the paper {row.card.computation}: "
                f"{row.computation_reason}"
            )
        elif row.computation and row.computation.by_memory and row.computation.by_time != row.computation.label:
            lines.append(
                f"- {row.name}: computation {row.computation.text}, by time alone {row.computation.by_time}: "
                f"{row.overhead.misfit}; {computation_in_numbers(row.overhead)}"
            )
        if row.card and row.communication and row.communication_reason:
            lines.append(
                f"- {row.name}: communication {row.communication.text}, the paper {row.card.communication}: "
                f"{row.communication_reason}"
            )
        if row.cost and row.cost.feasible and row.cost.reason:
            lines.append(f"- {row.name}: fits the device {row.cost.reason}")
        if row.group.measured and row.overhead.up_bytes_per_sample and row.overhead.reference_bytes_per_sample is None:
            lines.append(
                f"- {row.name}: no label of communication: {REFERENCE_BYTES[row.overhead.reference]} are unknown"
            )
        if not row.group.measured:
            lines.append(f"- {row.name}: {row.job.status}: {' '.join(row.job.reason.split())}")
    return lines


def _expansion_label(value: float | None, thresholds: Thresholds) -> str | None:
    return None if value is None else label_expansion(value, thresholds)
