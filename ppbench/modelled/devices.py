"""IoT devices as profiles in `conf/device/`: how fast they compute, what they hold, and where each figure is from."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from ppbench import profiles
from ppbench.errors import ConfigError

_GROUP = "device"


@dataclasses.dataclass(frozen=True)
class Device:
    """One device. What it cannot compute at all has no rate, and its source says why."""

    name: str
    title: str
    dense_mac_per_s: float
    """Multiply-accumulates of dense layers, one sample at a time: in int8, but for what `sources` says."""
    convolution_mac_per_s: float
    """The same of convolutions."""
    float_mac_per_s: float | None
    """In float32, of any layer."""
    word_mac_per_s: float | None
    """Modulo 2^64: what secret sharing computes with."""
    butterfly_per_s: float | None
    """Of number-theoretic transforms modulo a prime of up to 60 bits, all else that encryption does charged to them."""
    value_per_s: float
    """Bytes of samples made float32 values: what goes with all arithmetic and has no multiply-accumulates."""
    ram_bytes: float
    flash_bytes: float
    power_w: float
    """While it computes."""
    sources: dict[str, str]
    """Figure -> where it is from, or `assumption: ...`."""

    def is_assumed(self, figure: str) -> bool:
        """Whether nobody stands behind a figure but ppbench."""
        return self.sources[figure].startswith(profiles.ASSUMPTION)


_TEXTS = ("name", "title", "sources")
_KEYS = tuple(field.name for field in dataclasses.fields(Device) if field.name != "name")
_FIGURES = tuple(key for key in _KEYS if key not in _TEXTS)
_MAY_BE_NULL = ("float_mac_per_s", "word_mac_per_s", "butterfly_per_s")


def device_names() -> list[str]:
    """Of all profiles."""
    return list(profiles.files_of(_GROUP))


def devices() -> list[Device]:
    """All profiles, the slowest first. Raises ConfigError for one that is not right."""
    return sorted(map(read_device, profiles.files_of(_GROUP).values()), key=lambda device: device.convolution_mac_per_s)


def load_device(name: str) -> Device:
    """A profile by name. Raises ConfigError if there is none, or for one that is not right."""
    return read_device(profiles.named(_GROUP, name))


def read_device(path: Path) -> Device:
    """The profile in a file. Raises ConfigError, naming file and key, for what is missing, wrong or has no source."""
    where = f"device/{path.name}"
    profile = profiles.content(path, where)
    if not isinstance(profile, dict):
        raise ConfigError(f"{where} must be keys and values: {', '.join(_KEYS)}")
    profiles.check_keys(where, profile, _KEYS, _MAY_BE_NULL)
    if not isinstance(profile["title"], str) or not profile["title"]:
        raise ConfigError(f"{where}: title={profile['title']!r} must be a text")
    figures = {key: _figure(f"{where}: {key}", profile[key], key in _MAY_BE_NULL) for key in _FIGURES}
    return Device(
        name=path.stem,
        title=profile["title"],
        sources=profiles.checked_sources(where, profile["sources"], _FIGURES),
        **figures,  # type: ignore[arg-type]
    )


def _figure(place: str, value: Any, may_be_null: bool) -> float | None:
    if value is None and may_be_null:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        also = ", or null for what the device cannot do" if may_be_null else ""
        raise ConfigError(f"{place}={value!r} must be a number above 0{also}")
    return float(value)
