"""What a measured job contributes to the models of devices and links: plain numbers, all that these read of a job.

Whoever computes the models elsewhere, as the page of a report does in a browser, takes the same fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

from ppbench.errors import UnavailableError
from ppbench.macs import Macs
from ppbench.measure.calibration import Kernel, Rate, metrics_of
from ppbench.party import role_of
from ppbench.records import JobRecord, Stage
from ppbench.scheme import PARTICIPANT, Arithmetic
from ppbench.selection import Selection

Once = Literal["setup", "train"]
"""A stage that every participant goes through once."""

KERNELS: Mapping[Arithmetic, tuple[Kernel, ...]] = {
    "float": ("float_mac", "convolution_mac", "value"),
    "integer": ("word_mac",),
    "modular": ("butterfly",),
}
"""What a calibration has measured."""
_ONCE_A_SAMPLE = ("online", "offline")


@dataclasses.dataclass(frozen=True)
class CpuTime:
    """CPU seconds of a participant for a sample, or for all of setup or training; 0 without such a stage."""

    cpu_s: float
    channel_s: float
    """Those of them in the channel."""


@dataclasses.dataclass(frozen=True)
class ComputeInputs:
    """What device time and memory follow from, of one participant."""

    arithmetic: Arithmetic
    rates: Mapping[Kernel, Rate]
    """The host's, in operations per CPU second."""
    macs: Macs | None
    """Of a sample online; None where they cannot be counted."""
    online: CpuTime
    offline: CpuTime
    setup: CpuTime
    train: CpuTime
    downloaded_bytes: float
    """As setup sends it, in messages: an engine's own traffic is used up as it comes."""
    keys_bytes: float
    """All that setup sends."""
    setup_message_bytes: float
    """At least one message of setup is as large as the mean."""
    kept_bytes: float
    """What comes offline is kept until its sample."""
    message_bytes: float
    """At least one message of a sample is as large as the mean; ciphertexts do not shrink with the batch."""
    resident_bytes: float | None
    """What the scheme says that its protocol holds, other than what it keeps from offline; None: whole messages."""
    growth_bytes: float | None
    """Peak over all stages above the start of the first; None: not measured."""


@dataclasses.dataclass(frozen=True)
class Load:
    """What goes over one participant's link, in one batch, in setup or in training."""

    up_bytes: float
    """TCP payload."""
    down_bytes: float
    up_messages: float
    down_messages: float
    steps: float = 0.0
    """One way, one after the other."""
    at_once: bool = False
    """Whether both ends send in each step."""


@dataclasses.dataclass(frozen=True)
class BatchInputs:
    """What a link adds to the batches of a pass follows from."""

    latency_s: float
    """Of a batch, on the unshaped wire."""
    n_batches: int
    """In one pass, of all participants."""
    n_answers: float
    """In one pass."""
    load: Load
    """Of an average batch."""


def host_rates(job: JobRecord) -> dict[Kernel, Rate]:
    """What the host was calibrated at; empty for a job without calibration."""
    values = {record.metric: record.value for record in job.records if record.stage == "job"}
    kernels = [kernel for kernels in KERNELS.values() for kernel in kernels]
    return {
        kernel: Rate(kernel, *(values[metric] for metric in metrics_of(kernel)))
        for kernel in kernels
        if all(metric in values for metric in metrics_of(kernel))
    }


def compute_inputs(job: JobRecord) -> ComputeInputs:
    """What device time and memory follow from.

    Raises UnavailableError for a job that was not measured, or not with measure.calibrate=true.
    """
    if job.status != "ok":
        raise UnavailableError(f"{job.folder} was not measured ({job.status}): it has no device time")
    if not (rates := host_rates(job)):
        raise UnavailableError(f"{job.folder} has no calibration of its host: run it with measure.calibrate=true")
    if any(role_of(party) == PARTICIPANT for party in job.provenance.machines):
        raise UnavailableError(f"{job.folder} has a participant on another machine than the calibrated one")
    return _Reader(job).compute_inputs(rates)


def batch_inputs(job: JobRecord) -> BatchInputs | None:
    """What a link adds to a sample follows from; None if the job has no batches to answer."""
    select = Selection(job.records)
    latency_s = select.middle("online", "latency_s")
    n_batches = _batches(job)
    n_answers = select.median("online", "n_answers")
    if latency_s is None or not n_batches or not n_answers:
        return None
    return BatchInputs(latency_s, n_batches, n_answers, _online(job, select, n_batches))


def once_load(job: JobRecord, stage: Once) -> Load | None:
    """An average participant's in setup or training.

    None if the job has no such stage, or if an older version measured it and nobody knows its steps.
    """
    select = Selection(job.records)
    n_participants: int = job.config["task"]["n_participants"]
    load = _traffic(lambda metric: select.per_participant(stage, metric, n_participants) or 0.0)
    steps = select.steps(stage)
    if steps is None and stage == "setup":
        # Of an older version: what it sent, and what was sent to it, one after the other.
        steps = float(bool(load.up_bytes) + bool(load.down_bytes))
    return None if steps is None else dataclasses.replace(load, steps=steps)


class _Reader:
    """Takes a participant's share out of a job's records."""

    def __init__(self, job: JobRecord) -> None:
        self._select = Selection(job.records)
        self._records = job.records
        self._n_participants: int = job.config["task"]["n_participants"]
        self._batch_size: int = job.config["task"]["batch_size"]
        self._n_samples = self._select.median("online", "n_answers") or self._select.one("job", "n_samples") or 1.0

    def compute_inputs(self, rates: Mapping[Kernel, Rate]) -> ComputeInputs:
        arithmetic = next(kind for kind, kernels in KERNELS.items() if kernels[0] in rates)
        keys_bytes = self._per_participant("setup", "message_bytes_sent")
        n_messages = self._per_participant("setup", "messages_sent")
        return ComputeInputs(
            arithmetic=arithmetic,
            rates=rates,
            macs=self._macs(),
            online=self._cpu_time("online"),
            offline=self._cpu_time("offline"),
            setup=self._cpu_time("setup"),
            train=self._cpu_time("train"),
            downloaded_bytes=self._per_participant("setup", "message_bytes_received"),
            keys_bytes=keys_bytes,
            setup_message_bytes=keys_bytes / n_messages if n_messages else 0.0,
            kept_bytes=self._per_sample("offline", "payload_bytes_received"),
            message_bytes=self._message_bytes(arithmetic),
            resident_bytes=self._select.one("job", "participant_resident_bytes"),
            growth_bytes=self._growth_bytes(),
        )

    def _macs(self) -> Macs | None:
        dense, convolution = (
            self._select.one("job", f"participant_{kind}_macs_per_sample") for kind in ("dense", "convolution")
        )
        return None if dense is None or convolution is None else Macs(dense, convolution)

    def _cpu_time(self, stage: Stage) -> CpuTime:
        share = self._per_sample if stage in _ONCE_A_SAMPLE else self._per_participant
        cpu_s, channel_s = share(stage, "cpu_s"), share(stage, "channel_cpu_s")
        return CpuTime(cpu_s, min(cpu_s, channel_s))

    def _message_bytes(self, arithmetic: Arithmetic) -> float:
        largest = 0.0
        for direction in ("sent", "received"):
            n_bytes = self._select.median("online", f"message_bytes_{direction}", PARTICIPANT) or 0.0
            if n_messages := self._select.median("online", f"messages_{direction}", PARTICIPANT):
                largest = max(largest, n_bytes / n_messages)
        return largest if arithmetic == "modular" else largest / min(self._batch_size, self._n_samples)

    def _growth_bytes(self) -> float | None:
        own = [record for record in self._records if role_of(record.party or "") == PARTICIPANT]
        starts = [record.value for record in own if record.metric == "start_rss_bytes" and record.stage == "setup"]
        peaks = [record.value for record in own if record.metric == "peak_rss_bytes"]
        return max(peaks) - min(starts) if starts and peaks else None

    def _per_sample(self, stage: str, metric: str) -> float:
        # Times a share: divided, stored tables would be drawn anew with another last digit.
        return (self._select.median(stage, metric, PARTICIPANT) or 0.0) * (1 / self._n_samples)

    def _per_participant(self, stage: str, metric: str) -> float:
        return self._select.per_participant(stage, metric, self._n_participants) or 0.0


def _online(job: JobRecord, select: Selection, n_batches: int) -> Load:
    """An average batch."""
    rounds = select.median("online", "rounds") or 0.0
    load = _traffic(lambda metric: (select.median("online", metric, PARTICIPANT) or 0.0) / n_batches)
    if any("engine" in (record.source or "") for record in job.records if record.metric == "payload_bytes_sent"):
        # What an engine sends is in no message that a channel counts.
        load = dataclasses.replace(load, up_messages=rounds, down_messages=rounds, at_once=True)
    return dataclasses.replace(load, steps=select.one("job", "one_way_steps") or rounds)


def _traffic(part: Callable[[str], float]) -> Load:
    """What one batch, or one participant, has of each metric."""
    return Load(
        up_bytes=part("payload_bytes_sent"),
        down_bytes=part("payload_bytes_received"),
        up_messages=part("messages_sent"),
        down_messages=part("messages_received"),
    )


def _batches(job: JobRecord) -> int:
    found = [record for record in job.records if record.stage == "online" and record.metric == "latency_s"]
    return len({(record.party, record.batch) for record in found})
