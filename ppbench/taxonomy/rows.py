"""What each scheme of a results folder is to be called, from its jobs and those of the baselines beside them.

A training scheme's participant handles training samples and samples to classify. Each of both is set against the
references by itself, and the dearer one counts: a training sample that swells is not made good by a label that does
not. Plaintext's bytes are those of a sample of the same data set in batches of the same size; the label that goes up
with a training sample is part of what the scheme sends.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from ppbench.errors import PpbenchError
from ppbench.modelled.device_cost import DeviceCost, Estimate, device_cost, is_calibrated
from ppbench.modelled.devices import Device
from ppbench.records import JobRecord
from ppbench.registry import SCHEMES
from ppbench.report.groups import Group, is_reference_only
from ppbench.report.names import short_names
from ppbench.report.one_page import best_and_worst
from ppbench.scheme import SchemeCard
from ppbench.taxonomy.labels import (
    CommunicationLabel,
    ComputationLabel,
    Overhead,
    communication_agrees,
    communication_reason,
    computation_agrees,
    computation_reason,
    label_communication,
    label_computation,
)
from ppbench.taxonomy.thresholds import Thresholds

_CPU = "participant_cpu_s_per_sample"
_UP = "up_bytes_per_sample"


@dataclasses.dataclass(frozen=True)
class TaxonomyRow:
    """One scheme and variant, labelled."""

    name: str
    """Short and unique."""
    group: Group
    card: SchemeCard | None
    """None for a scheme that is not installed here."""
    cost_job: JobRecord | None
    """The one that costs are modelled from; None where none was measured and calibrated."""
    cost: DeviceCost | None
    """Modelled on the reference device."""
    device_s_per_sample: Estimate | None
    """Of the sample that counts."""
    overhead: Overhead
    computation: ComputationLabel | None
    communication: CommunicationLabel | None

    @property
    def job(self) -> JobRecord:
        """The first one."""
        return (self.group.measured or self.group.jobs)[0]

    @property
    def family(self) -> str:
        """The kind of scheme, whether it protects training or inference."""
        return family_of(self.card, self.group.scheme)

    @property
    def computation_agrees(self) -> bool | None:
        """With the card, which has the paper's label; None where either says nothing."""
        return computation_agrees(self.computation, self.card.computation if self.card else None)

    @property
    def communication_agrees(self) -> bool | None:
        """With the card, which has the paper's label; None where either says nothing."""
        return communication_agrees(self.communication, self.card.communication if self.card else None)

    @property
    def computation_reason(self) -> str:
        """Why not, in measured numbers; empty if it agrees."""
        if self.computation_agrees is not False or not (self.card and self.card.computation and self.computation):
            return ""
        return computation_reason(self.overhead, self.computation, self.card.computation)

    @property
    def communication_reason(self) -> str:
        """Why not, in measured numbers; empty if it agrees."""
        if self.communication_agrees is not False or not (self.card and self.card.communication and self.communication):
            return ""
        return communication_reason(self.overhead, self.communication, self.card.communication)


def family_of(card: SchemeCard | None, scheme: str) -> str:
    """The branch of the paper's figure 1 that is a kind of scheme, whether it protects training or inference.

    A scheme that is not installed here is a kind of its own.
    """
    path = card.taxonomy if card else (scheme,)
    kinds = path[3:4] if path[0] == "training" else path[1:2]
    return (kinds or path)[0]


def taxonomy_rows(groups: Sequence[Group], thresholds: Thresholds, device: Device) -> list[TaxonomyRow]:
    """A row for each group; none at all if no job was calibrated.

    Of the plaintext jobs that are there for their batch size alone, only the one with the most samples is a row.
    """
    shown = [group for group in groups if not is_reference_only(group, groups)]
    rows = [
        _row(name, group, groups, thresholds, device) for name, group in zip(short_names(shown), shown, strict=True)
    ]
    return sorted(rows, key=_family) if any(row.cost for row in rows) else []


def rows_for_a_page(rows: Sequence[TaxonomyRow], most: int = 30) -> list[TaxonomyRow]:
    """Of many, the baselines, and those that take a device the least time for a sample and the most."""
    return best_and_worst(rows, most, _device_time, lambda row: row.group.is_baseline)


def _device_time(row: TaxonomyRow) -> float:
    return row.overhead.device_s_per_sample or math.inf


def _row(name: str, group: Group, groups: Sequence[Group], thresholds: Thresholds, device: Device) -> TaxonomyRow:
    cost_job = _cost_job(group)
    cost = device_cost(cost_job, device) if cost_job else None
    seconds = None if cost is None else _device_seconds(cost, group)
    cpu_s = _cpu_s(group)
    overhead = Overhead(
        device_s_per_sample=seconds.best if seconds else None,
        times_random_projection=_times(cpu_s, _cheapest(groups, group, "random_projection")),
        times_plain_inference=_times(cpu_s, _cheapest(groups, group, "local", of_model=True)),
        misfit="" if cost is None or cost.feasible else cost.reason,
        rounds=_rounds(group),
        up_bytes_per_sample=_dearer(group.median(_UP), _per_training_sample(group, "train_up_bytes")),
        plaintext_up_bytes_per_sample=_plaintext_bytes(groups, group),
        setup_bytes=_sum(group.median("setup_up_bytes"), group.median("setup_down_bytes")),
        encoding=str(group.jobs[0].config["scheme"].get("encoding", "")),
        information_bytes_per_sample=group.median("information_bytes_per_sample"),
        reference=thresholds.reference,
    )
    measured = bool(group.measured)
    return TaxonomyRow(
        name=name,
        group=group,
        card=_card(group),
        cost_job=cost_job,
        cost=cost,
        device_s_per_sample=seconds,
        overhead=overhead,
        computation=label_computation(overhead, thresholds) if measured else None,
        communication=label_communication(overhead, thresholds) if measured else None,
    )


def _family(row: TaxonomyRow) -> tuple[bool, tuple[str, ...]]:
    """Baselines first, then as the branches of the paper's figure 1."""
    return not row.group.is_baseline, row.card.taxonomy if row.card else ()


def _cost_job(group: Group) -> JobRecord | None:
    # Where a participant ran on a machine of its own, the host's calibration says nothing about its seconds.
    calibrated = [job for job in group.measured if is_calibrated(job) and not job.provenance.machines]
    return calibrated[0] if calibrated else None


def _device_seconds(cost: DeviceCost, group: Group) -> Estimate | None:
    """Modelled: of a sample to classify, preprocessing included, or of one to learn from."""
    if cost.online_s_per_sample is None or cost.offline_s_per_sample is None or cost.train_s is None:
        return None
    answered = cost.online_s_per_sample + cost.offline_s_per_sample
    n_samples = group.median("n_train_samples")
    if not n_samples:
        return answered
    n_participants = int(group.jobs[0].config["task"]["n_participants"])
    return max(answered, cost.train_s.times(n_participants / n_samples), key=lambda seconds: seconds.best)


def _cpu_s(group: Group) -> float | None:
    """Measured: of the same."""
    answered = _sum(group.median(_CPU), group.median("participant_offline_cpu_s_per_sample"))
    return _dearer(answered, _per_training_sample(group, "participant_train_cpu_s"))


def _card(group: Group) -> SchemeCard | None:
    try:
        return SCHEMES.load(group.scheme).card
    except PpbenchError:
        return None


def _cheapest(groups: Sequence[Group], group: Group, scheme: str, of_model: bool = False) -> float | None:
    """CPU seconds per sample of a reference on the same data, in the batch size at which it is cheapest.

    `of_model`: on the same model too, where it is the model that the reference runs.
    """
    costs = [
        other.median(_CPU)
        for other in groups
        if other.scheme == scheme
        and not other.is_small_model
        and other.task[0] == group.task[0]
        and (not of_model or other.task == group.task)
    ]
    return min((cost for cost in costs if cost), default=None)


def _plaintext_bytes(groups: Sequence[Group], group: Group) -> float | None:
    dataset, batch_size = group.task[0], group.jobs[0].config["task"]["batch_size"]
    for other in groups:
        alike = other.task[0] == dataset and other.jobs[0].config["task"]["batch_size"] == batch_size
        if other.scheme == "plaintext" and alike and other.median(_UP):
            return other.median(_UP)
    return None


def _rounds(group: Group) -> float | None:
    """Of a batch, or of training where it has more; None if it trains, and an older version did not count them."""
    online, training = group.median("rounds"), group.median("train_rounds")
    if training is None and group.median("n_train_samples"):
        return None
    return _dearer(online, training)


def _per_training_sample(group: Group, column: str) -> float | None:
    total, n_samples = group.median(column), group.median("n_train_samples")
    if total is None or not n_samples:
        return None
    return total * int(group.jobs[0].config["task"]["n_participants"]) / n_samples


def _times(value: float | None, reference: float | None) -> float | None:
    return value / reference if value is not None and reference else None


def _dearer(*costs: float | None) -> float | None:
    return max((cost for cost in costs if cost is not None), default=None)


def _sum(*values: float | None) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
