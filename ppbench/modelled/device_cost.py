"""What a measured job would cost a participant on a device and a link: modelled, and so called wherever it is shown.

Device time is the participant's CPU time on the host, times the host's calibrated rate at the arithmetic that the
participant does, over the device's rate at the same. What a host does besides arithmetic (the interpreter, system
calls, copies) is no arithmetic of the device's and is not to be scaled like it: a host multiplies matrices some 1500
times as fast as a Cortex-M4, but does not send a message 1500 times as fast. Therefore:

- Where a participant's multiply-accumulates can be counted (networks and projections), they take the time that the
  device needs for so many; only what is left of the measured time, beyond what they take the host, is scaled, by the
  rate at which values are handled. The low end is without the channel's CPU time; the high end computes in float32
  instead of the int8 that devices' rates are for.
- Where they cannot, but are of floats, some of the time is one and some the other: from all as values to all as
  multiply-accumulates, with the geometric mean as the best guess.
- Words modulo 2^64 (MPC) and modular arithmetic (homomorphic encryption) are scaled by their one kernel.

Ranges have the spread of the calibration in them, and a factor of 2 either way for a device's rate that is assumed and
not published. At a batch size of one, what surrounds the arithmetic outweighs it: compare light schemes at 256.
"""

from __future__ import annotations

import dataclasses
import math

from ppbench import units
from ppbench.errors import UnavailableError
from ppbench.launch.link import Link
from ppbench.macs import Macs
from ppbench.measure.calibration import Kernel, metrics_of
from ppbench.modelled.devices import Device
from ppbench.modelled.link_cost import link_cost
from ppbench.party import role_of
from ppbench.records import JobRecord, Stage
from ppbench.scheme import PARTICIPANT, Arithmetic
from ppbench.selection import Selection

ASSUMPTION_FACTOR = 2.0
"""How far off a device's rate may be, either way, that is assumed."""
_FLOAT_BYTES = 4
"""Of a weight as schemes send it; on a device that computes in int8 it takes one."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A modelled value with its range."""

    best: float
    low: float
    high: float

    def __add__(self, other: Estimate) -> Estimate:
        """Ends are added up, as errors of one calibration go together."""
        return Estimate(self.best + other.best, self.low + other.low, self.high + other.high)

    def times(self, factor: float) -> Estimate:
        """So many times as much."""
        return Estimate(self.best * factor, self.low * factor, self.high * factor)


@dataclasses.dataclass(frozen=True)
class DeviceCost:
    """What a job would cost a participant on a device. Seconds and joules are None where it cannot compute that."""

    device: str
    online_s_per_sample: Estimate | None
    offline_s_per_sample: Estimate | None
    """Of preprocessing for one sample; zero for a scheme without."""
    setup_s: Estimate | None
    train_s: Estimate | None
    """Of the participant's part of training; zero for a scheme without."""
    energy_j_per_sample: Estimate | None
    """Of computing, offline and online."""
    setup_j: Estimate | None
    """Of computing, once."""
    train_j: Estimate | None
    feasible: bool
    reason: str
    """Why it is not feasible, or under what condition it is; empty if there is nothing to say. One line."""
    ram_bytes: float
    """Counted lower bound of what must be there at once, by which `feasible` is judged.

    Setup: a message, as the next one can be made when it is gone. Afterwards: what is kept from offline for one sample,
    and a message. Instead of messages, what the scheme says that its protocol holds, if they can go piece by piece.
    """
    stored_ram_bytes: float
    """The same if all that setup sends is there before any of it is sent, and online a whole message."""
    flash_bytes: float
    """Counted lower bound: what setup downloads; weights of a network in int8."""
    measured_ram_bytes: float | None
    """By how much the process on the host grew beyond its start, with batches of the job's size; None: not measured."""


@dataclasses.dataclass(frozen=True)
class InferenceEnergy:
    """Joules for one sample."""

    compute_j: Estimate | None
    radio_j: float | None
    """None where the link cannot carry it, or nothing is answered."""

    @property
    def total_j(self) -> float | None:
        """The best guess of both together."""
        return None if self.compute_j is None or self.radio_j is None else self.compute_j.best + self.radio_j


def is_calibrated(job: JobRecord) -> bool:
    """Whether the job's host was calibrated, which `device_cost` needs."""
    return bool(_rates(job))


def device_cost(job: JobRecord, device: Device) -> DeviceCost:
    """What the participant would need on this device.

    Raises UnavailableError for a job that was not measured, or not with measure.calibrate=true.
    """
    if job.status != "ok":
        raise UnavailableError(f"{job.folder} was not measured ({job.status}): it has no device time")
    if not is_calibrated(job):
        raise UnavailableError(f"{job.folder} has no calibration of its host: run it with measure.calibrate=true")
    if any(role_of(party) == PARTICIPANT for party in job.provenance.machines):
        raise UnavailableError(f"{job.folder} has a participant on another machine than the calibrated one")
    measured = _Measured(job)
    misfit = _misfit(measured, device)
    online, offline = _seconds(measured, device, "online"), _seconds(measured, device, "offline")
    setup, train = _seconds(measured, device, "setup"), _seconds(measured, device, "train")
    per_sample = None if online is None or offline is None else online + offline
    inability = _inability(measured, device) if online is None else ""
    return DeviceCost(
        device=device.name,
        online_s_per_sample=online,
        offline_s_per_sample=offline,
        setup_s=setup,
        train_s=train,
        energy_j_per_sample=_joules(per_sample, device),
        setup_j=_joules(setup, device),
        train_j=_joules(train, device),
        feasible=not inability and not misfit,
        reason=inability or misfit or _condition(measured, device),
        ram_bytes=measured.ram_bytes,
        stored_ram_bytes=measured.stored_ram_bytes,
        flash_bytes=measured.flash_bytes,
        measured_ram_bytes=measured.growth_bytes,
    )


def inference_energy(job: JobRecord, device: Device, link: Link) -> InferenceEnergy:
    """What one sample takes a participant on this device and link. Raises UnavailableError as `device_cost` does."""
    radio = link_cost(job, link)
    return InferenceEnergy(
        compute_j=device_cost(job, device).energy_j_per_sample,
        radio_j=radio.energy_j_per_sample if radio and radio.feasible else None,
    )


_KERNELS: dict[Arithmetic, tuple[Kernel, ...]] = {
    "float": ("float_mac", "convolution_mac", "value"),
    "integer": ("word_mac",),
    "modular": ("butterfly",),
}
"""What a calibration has measured."""
_CANNOT: dict[Arithmetic, str] = {"float": "in floating point", "integer": "modulo 2^64", "modular": "modulo primes"}
_ONCE_A_SAMPLE = ("online", "offline")


def _rates(job: JobRecord) -> dict[Kernel, Estimate]:
    """The host's, in operations per CPU second."""
    values = {record.metric: record.value for record in job.records if record.stage == "job"}
    kernels = [kernel for kernels in _KERNELS.values() for kernel in kernels]
    return {
        kernel: Estimate(*(values[metric] for metric in metrics_of(kernel)))
        for kernel in kernels
        if all(metric in values for metric in metrics_of(kernel))
    }


class _Measured:
    """What device time and memory follow from, of one participant."""

    def __init__(self, job: JobRecord) -> None:
        self.rates = _rates(job)
        self.arithmetic = next(kind for kind, kernels in _KERNELS.items() if kernels[0] in self.rates)
        self._select = select = Selection(job.records)
        self._records = job.records
        self._n_participants: int = job.config["task"]["n_participants"]
        self._batch_size: int = job.config["task"]["batch_size"]
        self._n_samples = select.median("online", "n_answers") or select.one("job", "n_samples") or 1.0
        dense, convolution = (
            select.one("job", f"participant_{kind}_macs_per_sample") for kind in ("dense", "convolution")
        )
        self.macs = None if dense is None or convolution is None else Macs(dense, convolution)

    def cpu_s(self, stage: Stage) -> tuple[float, float]:
        """(CPU seconds, those of them in the channel) of a sample, or of all of setup or training; 0 without such."""
        share = self._per_sample if stage in _ONCE_A_SAMPLE else self._per_participant
        cpu_s, channel_s = share(stage, "cpu_s"), share(stage, "channel_cpu_s")
        return cpu_s, min(cpu_s, channel_s)

    @property
    def downloaded_bytes(self) -> float:
        """As setup sends it, in messages: an engine's own traffic is used up as it comes."""
        return self._per_participant("setup", "message_bytes_received")

    @property
    def flash_bytes(self) -> float:
        """What a device keeps of it at least."""
        return self.downloaded_bytes / (1 if self.macs is None else _FLOAT_BYTES)

    @property
    def ram_bytes(self) -> float:
        """What it cannot do without: before the batches and during one, whichever is more."""
        if self.resident_bytes is not None:
            return self.kept_bytes + self.resident_bytes
        return max(self.setup_message_bytes, self.kept_bytes + self.message_bytes)

    @property
    def stored_ram_bytes(self) -> float:
        """With everything made before it is sent."""
        return max(self.ram_bytes, self.keys_bytes + self.kept_bytes + self.message_bytes)

    @property
    def resident_bytes(self) -> float | None:
        """What the scheme says that its protocol holds, other than what it keeps from offline; None: whole messages."""
        return self._select.one("job", "participant_resident_bytes")

    @property
    def keys_bytes(self) -> float:
        """All that setup sends."""
        return self._per_participant("setup", "message_bytes_sent")

    @property
    def setup_message_bytes(self) -> float:
        """At least one message of setup is as large as the mean."""
        n_messages = self._per_participant("setup", "messages_sent")
        return self.keys_bytes / n_messages if n_messages else 0.0

    @property
    def kept_bytes(self) -> float:
        """What comes offline is kept until its sample."""
        return self._per_sample("offline", "payload_bytes_received")

    @property
    def message_bytes(self) -> float:
        """At least one message is as large as the mean; ciphertexts do not shrink with the batch."""
        largest = 0.0
        for direction in ("sent", "received"):
            n_bytes = self._select.median("online", f"message_bytes_{direction}", PARTICIPANT) or 0.0
            if n_messages := self._select.median("online", f"messages_{direction}", PARTICIPANT):
                largest = max(largest, n_bytes / n_messages)
        return largest if self.arithmetic == "modular" else largest / min(self._batch_size, self._n_samples)

    @property
    def growth_bytes(self) -> float | None:
        """Peak over all stages above the start of the first."""
        own = [record for record in self._records if role_of(record.party or "") == PARTICIPANT]
        starts = [record.value for record in own if record.metric == "start_rss_bytes" and record.stage == "setup"]
        peaks = [record.value for record in own if record.metric == "peak_rss_bytes"]
        return max(peaks) - min(starts) if starts and peaks else None

    def _per_sample(self, stage: str, metric: str) -> float:
        # Times a share: divided, stored tables would be drawn anew with another last digit.
        return (self._select.median(stage, metric, PARTICIPANT) or 0.0) * (1 / self._n_samples)

    def _per_participant(self, stage: str, metric: str) -> float:
        return self._select.per_participant(stage, metric, self._n_participants) or 0.0


def _seconds(measured: _Measured, device: Device, stage: Stage) -> Estimate | None:
    """On the device; None if it cannot do this arithmetic."""
    cpu_s, channel_s = measured.cpu_s(stage)
    if measured.arithmetic != "float":
        ratio = _ratio(measured, device, _KERNELS[measured.arithmetic][0])
        return None if ratio is None else _scaled(ratio, cpu_s, cpu_s - channel_s)
    values, macs = _ratio(measured, device, "value"), _ratio(measured, device, "float_mac")
    assert values is not None
    if measured.macs is not None and stage == "online":
        return _counted_s(measured.macs, device) + _scaled(values, *_beside(measured, cpu_s, channel_s))
    if macs is None:
        return None if measured.macs is None else _scaled(values, cpu_s, cpu_s - channel_s)
    return Estimate(
        best=cpu_s * math.sqrt(values.best * macs.best),
        low=(cpu_s - channel_s) * min(values.low, macs.low),
        high=cpu_s * max(values.high, macs.high),
    )


def _joules(seconds: Estimate | None, device: Device) -> Estimate | None:
    """Of computing for so long."""
    return None if seconds is None else seconds.times(device.power_w)


def _beside(measured: _Measured, cpu_s: float, channel_s: float) -> tuple[float, float]:
    """What is left of a sample's CPU time on the host without its multiply-accumulates, and without the channel too."""
    assert measured.macs is not None
    macs_s = (
        measured.macs.dense / measured.rates["float_mac"].best
        + measured.macs.convolution / measured.rates["convolution_mac"].best
    )
    return max(0.0, cpu_s - macs_s), max(0.0, cpu_s - macs_s - channel_s)


def _counted_s(macs: Macs, device: Device) -> Estimate:
    """What so many multiply-accumulates take the device."""
    in_int8 = _device_s(macs.dense, device, "dense_mac_per_s")
    in_int8 += _device_s(macs.convolution, device, "convolution_mac_per_s")
    if device.float_mac_per_s is None:
        return in_int8
    in_float = _device_s(macs.dense + macs.convolution, device, "float_mac_per_s")
    return dataclasses.replace(in_int8, high=max(in_int8.high, in_float.high))


def _device_s(operations: float, device: Device, figure: str) -> Estimate:
    seconds = operations / getattr(device, figure)
    doubt = _doubt(device, figure)
    return Estimate(seconds, seconds / doubt, seconds * doubt)


def _ratio(measured: _Measured, device: Device, kernel: Kernel) -> Estimate | None:
    """How many times as long the device takes for a kernel's operations; None if it cannot do them."""
    figure = f"{kernel}_per_s"
    rate: float | None = getattr(device, figure)
    if rate is None:
        return None
    host, doubt = measured.rates[kernel], _doubt(device, figure)
    return Estimate(host.best / rate, host.low / rate / doubt, host.high / rate * doubt)


def _doubt(device: Device, figure: str) -> float:
    return ASSUMPTION_FACTOR if device.is_assumed(figure) else 1.0


def _scaled(ratio: Estimate, host_s: float, least_host_s: float) -> Estimate:
    return Estimate(host_s * ratio.best, least_host_s * ratio.low, host_s * ratio.high)


def _inability(measured: _Measured, device: Device) -> str:
    """Why the arithmetic cannot be done at all."""
    why = device.sources[f"{_KERNELS[measured.arithmetic][0]}_per_s"]
    return f"{device.title} cannot compute {_CANNOT[measured.arithmetic]}: {why}"


def _misfit(measured: _Measured, device: Device) -> str:
    """Why memory does not suffice; empty if it may."""
    if measured.ram_bytes > device.ram_bytes:
        parts = {
            "keys": measured.setup_message_bytes,
            "preprocessing": measured.kept_bytes,
            "a message": measured.message_bytes,
        }
        if measured.resident_bytes is not None:
            parts = {"preprocessing": measured.kept_bytes, "what the protocol holds": measured.resident_bytes}
        largest = max(parts, key=lambda part: parts[part])
        return (
            f"needs at least {units.size(measured.ram_bytes)} of RAM ({units.size(parts[largest])} for {largest}); "
            f"{device.title} has {units.size(device.ram_bytes)}"
        )
    if measured.flash_bytes > device.flash_bytes:
        return (
            f"downloads at least {units.size(measured.flash_bytes)} to keep; "
            f"{device.title} has {units.size(device.flash_bytes)} of flash"
        )
    return ""


def _condition(measured: _Measured, device: Device) -> str:
    """What has to be so for it to fit; empty if it does anyway."""
    conditions = []
    if measured.downloaded_bytes > device.flash_bytes:
        conditions.append(
            f"only with weights in int8: as it is sent, the network takes {units.size(measured.downloaded_bytes)}; "
            f"{device.title} has {units.size(device.flash_bytes)} of flash"
        )
    if measured.stored_ram_bytes > device.ram_bytes:
        conditions.append(
            f"only with keys and messages made piece by piece, in {units.size(measured.ram_bytes)} of RAM: stored, "
            f"they take {units.size(measured.stored_ram_bytes)}; {device.title} has {units.size(device.ram_bytes)}"
        )
    return "; ".join(conditions)
