"""IoT devices as profiles in `conf/device/`: how fast they compute, what they hold, and where each figure is from."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ppbench.config import CONF_DIR
from ppbench.errors import ConfigError, choose, unknown

ASSUMPTION = "assumption:"
"""How the source of a figure begins that nobody has measured or published."""

_FOLDER = Path(CONF_DIR) / "device"


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
        return self.sources[figure].startswith(ASSUMPTION)


_TEXTS = ("name", "title", "sources")
_KEYS = tuple(field.name for field in dataclasses.fields(Device) if field.name != "name")
_FIGURES = tuple(key for key in _KEYS if key not in _TEXTS)
_MAY_BE_NULL = ("float_mac_per_s", "word_mac_per_s", "butterfly_per_s")


def device_names() -> list[str]:
    """Of all profiles."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def devices() -> list[Device]:
    """All profiles, the slowest first. Raises ConfigError for one that is not right."""
    return sorted(map(load_device, device_names()), key=lambda device: device.convolution_mac_per_s)


def load_device(name: str) -> Device:
    """A profile by name. Raises ConfigError if there is none, or for one that is not right."""
    if name not in device_names():
        raise unknown("device", name, device_names())
    return read_device(_FOLDER / f"{name}.yaml")


def read_device(path: Path) -> Device:
    """The profile in a file. Raises ConfigError, naming file and key, for what is missing, wrong or has no source."""
    where = f"device/{path.name}"
    profile = _content(path, where)
    for key in profile:
        if key not in _KEYS:
            error = unknown("key", str(key), _KEYS)
            raise ConfigError(f"{where}: {error}")
    for key in _KEYS:
        if key not in profile:
            raise ConfigError(f"{where}: {key} is missing")
    if not isinstance(profile["title"], str) or not profile["title"]:
        raise ConfigError(f"{where}: title={profile['title']!r} must be a text")
    figures = {key: _figure(f"{where}: {key}", profile[key], key in _MAY_BE_NULL) for key in _FIGURES}
    return Device(
        name=path.stem,
        title=profile["title"],
        sources=_sources(where, profile["sources"]),
        **figures,  # type: ignore[arg-type]
    )


def _content(path: Path, where: str) -> dict[Any, Any]:
    try:
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{where} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{where} must be keys and values: {', '.join(_KEYS)}")
    return content


def _figure(place: str, value: Any, may_be_null: bool) -> float | None:
    if value is None and may_be_null:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        also = ", or null for what the device cannot do" if may_be_null else ""
        raise ConfigError(f"{place}={value!r} must be a number above 0{also}")
    return float(value)


def _sources(where: str, sources: Any) -> dict[str, str]:
    if not isinstance(sources, dict):
        raise ConfigError(f"{where}: sources must say for each figure where it is from")
    for key in sources:
        choose(f"{where}: sources", str(key), _FIGURES)
    for key in _FIGURES:
        text = sources.get(key)
        if not isinstance(text, str) or not text.removeprefix(ASSUMPTION).strip():
            raise ConfigError(f"{where}: sources.{key} is missing: a source, or '{ASSUMPTION} ...'")
    return {str(key): " ".join(text.split()) for key, text in sources.items()}
