"""What a measured job would cost in a use: so many devices of a kind, on a link, with so many samples a day.

All of it follows from what `device_cost`, `link_cost` and `once_cost` model, and from the measured CPU time and payload
of a sample, as if the job's own machine served all devices. What a device takes while it sleeps, senses or boots is not
modelled, and neither is the way of preprocessing over the link (`left_out` says where there is such).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from ppbench import units
from ppbench.launch.link import Link
from ppbench.modelled.device_cost import DeviceCost, Estimate, device_cost
from ppbench.modelled.devices import Device
from ppbench.modelled.link_cost import LinkCost, OnceCost, link_cost, once_cost
from ppbench.records import JobRecord
from ppbench.scheme import COORDINATOR, PARTICIPANT
from ppbench.selection import THIRD_PARTY, Selection

DAY_S = 86_400.0
_MONTH_DAYS = 30
_TERABYTE = 1e12
_UNFEASIBLE = "not feasible: "
_OF_A_SAMPLE = ("offline", "online")


@dataclasses.dataclass(frozen=True)
class Use:
    """What somebody wants to do with a scheme."""

    device: Device
    link: Link
    samples_per_day: float
    """Of each device; above 0."""
    battery_j: float | None = None
    """Of each device; None: it has no battery."""
    n_devices: int = 1


@dataclasses.dataclass(frozen=True)
class UseCost:
    """What a job would cost in a use, modelled; None where that cannot be modelled, and a reason says why."""

    device_s_per_sample: float | None
    """Of computing, offline and online."""
    link_s_per_sample: float | None
    """With the silence that a duty cycle asks for."""
    answer_s: float | None
    """From a batch's first sample to its answers: until the batch is full, and what it takes then."""
    j_per_sample: Estimate | None
    """Of computing, offline and online, and of the radio; the range is that of computing."""
    once_j: float | None
    """Of setup and training, computing and radio."""
    battery_days: float | None
    """Also None without a battery."""
    busy_s_per_day: float | None
    coordinator_cores: float
    """Of all parties but participants, for all devices, like the ones that the job was measured on."""
    payload_bytes_per_sample: float
    """Counted: up and down, offline and online, whomever the participant talks to."""
    terabytes_per_month: float
    """The same of all devices, in 30 days."""
    ram_bytes: float
    """Counted, as in `DeviceCost`."""
    flash_bytes: float
    reasons: tuple[str, ...]
    """Why it is not feasible; none if it is."""
    condition: str
    """Under what condition it fits the device; empty if it does anyway."""
    left_out: str
    """What the job has that the model has not, so that no more can be told; empty if there is nothing."""

    @property
    def feasible(self) -> bool:
        """Whether device and link carry it, day by day."""
        return not self.reasons


def use_cost(job: JobRecord, use: Use) -> UseCost:
    """What the job would cost. Raises UnavailableError as `device_cost` does: for a job without calibration."""
    on_device, on_link = device_cost(job, use.device), link_cost(job, use.link)
    once = once_cost(job, use.link, "setup"), once_cost(job, use.link, "train")
    measured = _Measured(job)
    device_s = _sum(on_device.online_s_per_sample, on_device.offline_s_per_sample)
    j_per_sample = None
    if on_device.energy_j_per_sample is not None and on_link is not None:
        radio_j = on_link.energy_j_per_sample
        j_per_sample = on_device.energy_j_per_sample + Estimate(radio_j, radio_j, radio_j)
    once_j = _once_j(on_device, once)
    busy_s = None
    if device_s is not None and on_link is not None:
        busy_s = use.samples_per_day * (device_s.best + on_link.link_s_per_sample)
    samples_per_day = use.n_devices * use.samples_per_day
    return UseCost(
        device_s_per_sample=None if device_s is None else device_s.best,
        link_s_per_sample=None if on_link is None else on_link.link_s_per_sample,
        answer_s=_answer_s(measured, on_device, on_link, use.samples_per_day),
        j_per_sample=j_per_sample,
        once_j=once_j,
        battery_days=_battery_days(use, j_per_sample, once_j),
        busy_s_per_day=busy_s,
        coordinator_cores=samples_per_day * measured.others_cpu_s_per_sample / DAY_S,
        payload_bytes_per_sample=measured.payload_bytes_per_sample,
        terabytes_per_month=samples_per_day * _MONTH_DAYS * measured.payload_bytes_per_sample / _TERABYTE,
        ram_bytes=on_device.ram_bytes,
        flash_bytes=on_device.flash_bytes,
        reasons=tuple(_reasons(use, on_device, on_link, once, busy_s)),
        condition=on_device.reason if on_device.feasible else "",
        left_out=_left_out(measured, once),
    )


class _Measured:
    """What a use needs of a job beside the models."""

    def __init__(self, job: JobRecord) -> None:
        self._select = select = Selection(job.records)
        self._n_answers = select.median("online", "n_answers") or select.one("job", "n_samples") or 1.0
        self.batch_size = min(float(job.config["task"]["batch_size"]), self._n_answers)

    @property
    def own_cpu_s_per_sample(self) -> float:
        """Of participants, online."""
        return self._per_sample("online", "cpu_s", PARTICIPANT)

    @property
    def others_cpu_s_per_sample(self) -> float:
        """Of everybody else, offline and online."""
        parts = COORDINATOR, THIRD_PARTY
        return sum(self._per_sample(stage, "cpu_s", part) for stage in _OF_A_SAMPLE for part in parts)

    @property
    def payload_bytes_per_sample(self) -> float:
        return sum(map(self.payload_bytes, _OF_A_SAMPLE))

    def payload_bytes(self, stage: str) -> float:
        """Of a sample, up and down."""
        ways = "sent", "received"
        return sum(self._per_sample(stage, f"payload_bytes_{way}", PARTICIPANT) for way in ways)

    def trained_with_bytes(self) -> bool:
        """Whether participants exchanged anything in training."""
        return any(self._select.median("train", f"payload_bytes_{way}", PARTICIPANT) for way in ("sent", "received"))

    def _per_sample(self, stage: str, metric: str, part: str) -> float:
        return (self._select.median(stage, metric, part) or 0.0) / self._n_answers


def _answer_s(
    measured: _Measured, on_device: DeviceCost, on_link: LinkCost | None, samples_per_day: float
) -> float | None:
    if on_device.online_s_per_sample is None or on_link is None:
        return None
    # What the participant computed itself is in the measured latency: the device takes its own time for it.
    longer_s = on_device.online_s_per_sample.best - measured.own_cpu_s_per_sample
    at_once_s = max(0.0, on_link.latency_s_per_batch + measured.batch_size * longer_s)
    return (measured.batch_size - 1) * DAY_S / samples_per_day + at_once_s


def _once_j(on_device: DeviceCost, once: tuple[OnceCost | None, ...]) -> float | None:
    computing = _sum(on_device.setup_j, on_device.train_j)
    return None if computing is None else computing.best + sum(cost.energy_j for cost in once if cost is not None)


def _battery_days(use: Use, j_per_sample: Estimate | None, once_j: float | None) -> float | None:
    if use.battery_j is None or once_j is None or j_per_sample is None or not j_per_sample.best:
        return None
    return max(0.0, use.battery_j - once_j) / (use.samples_per_day * j_per_sample.best)


def _reasons(
    use: Use,
    on_device: DeviceCost,
    on_link: LinkCost | None,
    once: tuple[OnceCost | None, ...],
    busy_s_per_day: float | None,
) -> Iterator[str]:
    if not on_device.feasible:
        yield on_device.reason
    if on_link is None:
        yield "answers no samples"
    for cost in (on_link, *once):
        if cost is not None and not cost.feasible:
            yield cost.reason.removeprefix(_UNFEASIBLE)
    if busy_s_per_day is not None and busy_s_per_day > DAY_S:
        yield (
            f"{units.number(use.samples_per_day)} samples a day keep device and link busy for "
            f"{busy_s_per_day / 3600:,.1f} hours a day"
        )


def _left_out(measured: _Measured, once: tuple[OnceCost | None, ...]) -> str:
    parts = []
    if preprocessed_bytes := measured.payload_bytes("offline"):
        parts.append(f"preprocessing moves {units.size(preprocessed_bytes)} a sample ahead of it")
    if once[-1] is None and measured.trained_with_bytes():
        parts.append("nobody counted the steps of training, which an older version measured")
    return "; ".join(parts)


def _sum(one: Estimate | None, other: Estimate | None) -> Estimate | None:
    return None if one is None or other is None else one + other
