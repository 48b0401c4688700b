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
from ppbench.launch.link import Link
from ppbench.macs import Macs
from ppbench.measure.calibration import Kernel
from ppbench.modelled.devices import Device
from ppbench.modelled.inputs import KERNELS, ComputeInputs, CpuTime, compute_inputs, host_rates
from ppbench.modelled.link_cost import link_cost
from ppbench.records import JobRecord
from ppbench.scheme import Arithmetic

ASSUMPTION_FACTOR = 2.0
"""How far off a device's rate may be, either way, that is assumed."""
FLOAT_BYTES = 4
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
    return bool(host_rates(job))


def device_cost(job: JobRecord, device: Device) -> DeviceCost:
    """What the participant would need on this device.

    Raises UnavailableError for a job that was not measured, or not with measure.calibrate=true.
    """
    measured = compute_inputs(job)
    misfit = _misfit(measured, device)
    online, offline = _online_s(measured, device), _uncounted_s(measured, measured.offline, device)
    setup, train = (_uncounted_s(measured, stage, device) for stage in (measured.setup, measured.train))
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
        ram_bytes=_ram_bytes(measured),
        stored_ram_bytes=_stored_ram_bytes(measured),
        flash_bytes=_flash_bytes(measured),
        measured_ram_bytes=measured.growth_bytes,
    )


def inference_energy(job: JobRecord, device: Device, link: Link) -> InferenceEnergy:
    """What one sample takes a participant on this device and link. Raises UnavailableError as `device_cost` does."""
    radio = link_cost(job, link)
    return InferenceEnergy(
        compute_j=device_cost(job, device).energy_j_per_sample,
        radio_j=radio.energy_j_per_sample if radio and radio.feasible else None,
    )


CANNOT: dict[Arithmetic, str] = {"float": "in floating point", "integer": "modulo 2^64", "modular": "modulo primes"}
"""How a device is said to lack an arithmetic."""


def _ram_bytes(measured: ComputeInputs) -> float:
    """What it cannot do without: before the batches and during one, whichever is more."""
    if measured.resident_bytes is not None:
        return measured.kept_bytes + measured.resident_bytes
    return max(measured.setup_message_bytes, measured.kept_bytes + measured.message_bytes)


def _stored_ram_bytes(measured: ComputeInputs) -> float:
    """With everything made before it is sent."""
    return max(_ram_bytes(measured), measured.keys_bytes + measured.kept_bytes + measured.message_bytes)


def _flash_bytes(measured: ComputeInputs) -> float:
    """What a device keeps at least of what it downloads."""
    return measured.downloaded_bytes / (1 if measured.macs is None else FLOAT_BYTES)


def _online_s(measured: ComputeInputs, device: Device) -> Estimate | None:
    """For a sample on the device; None if it cannot do this arithmetic."""
    if measured.arithmetic != "float" or measured.macs is None:
        return _uncounted_s(measured, measured.online, device)
    values = _ratio(measured, device, "value")
    assert values is not None
    return _counted_s(measured.macs, device) + _scaled(values, *_beside(measured, measured.macs))


def _uncounted_s(measured: ComputeInputs, stage: CpuTime, device: Device) -> Estimate | None:
    """What takes the host so long without its multiply-accumulates being known; None as above."""
    cpu_s, least_cpu_s = stage.cpu_s, stage.cpu_s - stage.channel_s
    if measured.arithmetic != "float":
        ratio = _ratio(measured, device, KERNELS[measured.arithmetic][0])
        return None if ratio is None else _scaled(ratio, cpu_s, least_cpu_s)
    values, macs = _ratio(measured, device, "value"), _ratio(measured, device, "float_mac")
    assert values is not None
    if macs is None:
        return None if measured.macs is None else _scaled(values, cpu_s, least_cpu_s)
    return Estimate(
        best=cpu_s * math.sqrt(values.best * macs.best),
        low=least_cpu_s * min(values.low, macs.low),
        high=cpu_s * max(values.high, macs.high),
    )


def _joules(seconds: Estimate | None, device: Device) -> Estimate | None:
    """Of computing for so long."""
    return None if seconds is None else seconds.times(device.power_w)


def _beside(measured: ComputeInputs, macs: Macs) -> tuple[float, float]:
    """What is left of a sample's CPU time on the host without its multiply-accumulates, and without the channel too."""
    macs_s = (
        macs.dense / measured.rates["float_mac"].median + macs.convolution / measured.rates["convolution_mac"].median
    )
    cpu_s, channel_s = measured.online.cpu_s, measured.online.channel_s
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


def _ratio(measured: ComputeInputs, device: Device, kernel: Kernel) -> Estimate | None:
    """How many times as long the device takes for a kernel's operations; None if it cannot do them."""
    figure = f"{kernel}_per_s"
    rate: float | None = getattr(device, figure)
    if rate is None:
        return None
    host, doubt = measured.rates[kernel], _doubt(device, figure)
    return Estimate(host.median / rate, host.low / rate / doubt, host.high / rate * doubt)


def _doubt(device: Device, figure: str) -> float:
    return ASSUMPTION_FACTOR if device.is_assumed(figure) else 1.0


def _scaled(ratio: Estimate, host_s: float, least_host_s: float) -> Estimate:
    return Estimate(host_s * ratio.best, least_host_s * ratio.low, host_s * ratio.high)


def _inability(measured: ComputeInputs, device: Device) -> str:
    """Why the arithmetic cannot be done at all."""
    why = device.sources[f"{KERNELS[measured.arithmetic][0]}_per_s"]
    return f"{device.title} cannot compute {CANNOT[measured.arithmetic]}: {why}"


def _misfit(measured: ComputeInputs, device: Device) -> str:
    """Why memory does not suffice; empty if it may."""
    if _ram_bytes(measured) > device.ram_bytes:
        parts = {
            "keys": measured.setup_message_bytes,
            "preprocessing": measured.kept_bytes,
            "a message": measured.message_bytes,
        }
        if measured.resident_bytes is not None:
            parts = {"preprocessing": measured.kept_bytes, "what the protocol holds": measured.resident_bytes}
        largest = max(parts, key=lambda part: parts[part])
        return (
            f"needs at least {units.size(_ram_bytes(measured))} of RAM ({units.size(parts[largest])} for {largest}); "
            f"{device.title} has {units.size(device.ram_bytes)}"
        )
    if _flash_bytes(measured) > device.flash_bytes:
        return (
            f"downloads at least {units.size(_flash_bytes(measured))} to keep; "
            f"{device.title} has {units.size(device.flash_bytes)} of flash"
        )
    return ""


def _condition(measured: ComputeInputs, device: Device) -> str:
    """What has to be so for it to fit; empty if it does anyway."""
    conditions = []
    if measured.downloaded_bytes > device.flash_bytes:
        conditions.append(
            f"only with weights in int8: as it is sent, the network takes {units.size(measured.downloaded_bytes)}; "
            f"{device.title} has {units.size(device.flash_bytes)} of flash"
        )
    if _stored_ram_bytes(measured) > device.ram_bytes:
        conditions.append(
            f"only with keys and messages made piece by piece, in {units.size(_ram_bytes(measured))} of RAM: stored, "
            f"they take {units.size(_stored_ram_bytes(measured))}; {device.title} has {units.size(device.ram_bytes)}"
        )
    return "; ".join(conditions)
