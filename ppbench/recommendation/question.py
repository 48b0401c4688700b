"""For whom a scheme is looked for: what was asked, checked, and in words."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ppbench import units
from ppbench.errors import ConfigError, choose, in_range, unknown
from ppbench.modelled.devices import load_device, read_device
from ppbench.modelled.link_cost import load_link, read_link
from ppbench.modelled.use import Use
from ppbench.options import typed

T = TypeVar("T")

_JOULES_IN_WH = 3600.0
_SUFFIXES = (".yaml", ".yml")
_MOST = 1e12
_KINDS = ("inference", "training")


@dataclasses.dataclass(frozen=True)
class Question:
    """What is asked; nothing that is left at its default is asked for."""

    device: str
    """A profile's name, or a file of one's own that ends in .yaml."""
    link: str
    """The same."""
    samples_per_day: float
    """Of each device."""
    battery_wh: float | None = None
    """Of each device."""
    n_devices: int = 1
    accuracy_min: float = 0.0
    """As measured, in [0, 1]."""
    latency_max_s: float | None = None
    """From a sample to its answer, until its batch is full included."""
    third_party: bool = True
    """False: without a dealer, a curator, or whoever else a job had beside participant and coordinator."""
    task: str = ""
    """`inference` or `training`; empty: both."""
    dataset: str = ""
    """Empty: each one that was measured."""
    model: str = ""
    """The same."""

    def __post_init__(self) -> None:
        """Refuse what nobody can mean. Raises ConfigError."""
        in_range("samples_per_day", self.samples_per_day, 1e-6, _MOST)
        in_range("n_devices", self.n_devices, 1, _MOST)
        in_range("accuracy_min", self.accuracy_min, 0.0, 1.0)
        for name in ("battery_wh", "latency_max_s"):
            if (value := getattr(self, name)) is not None:
                in_range(name, value, 1e-9, _MOST)
        if self.task:
            choose("task", self.task, _KINDS)

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> Question:
        """From values by name. Raises ConfigError for a name or a value that is not allowed, or one that is missing."""
        hints = typing.get_type_hints(cls)
        values = {}
        for name, value in asked.items():
            if name not in hints:
                raise unknown("key", name, hints)
            values[name] = typed(name, str(value) if isinstance(value, Path) else value, hints[name])
        for field in dataclasses.fields(cls):
            if field.default is dataclasses.MISSING and values.get(field.name) in (None, ""):
                needed = ", ".join(f"{name}=..." for name in ("device", "link", "samples_per_day"))
                raise ConfigError(f"{field.name} is missing: a scheme is recommended for {needed}")
        return cls(**values)

    @classmethod
    def of_words(cls, words: Iterable[str]) -> Question:
        """From `key=value`, as on the command line. Raises ConfigError as `of` does."""
        asked: dict[str, Any] = {}
        hints = typing.get_type_hints(cls)
        for word in words:
            name, sign, text = word.partition("=")
            if not sign:
                raise ConfigError(f"'{word}' is no key=value (keys: {', '.join(hints)})")
            if name in asked:
                raise ConfigError(f"{name} is given twice")
            asked[name] = _value(name, text, hints[name]) if name in hints else text
        return cls.of(asked)

    def use(self) -> Use:
        """What the models take. Raises ConfigError for a device or a link that there is not."""
        return Use(
            device=_profile("device", self.device, load_device, read_device),
            link=_profile("link", self.link, load_link, read_link),
            samples_per_day=self.samples_per_day,
            battery_j=None if self.battery_wh is None else self.battery_wh * _JOULES_IN_WH,
            n_devices=self.n_devices,
        )


def in_words(question: Question, use: Use) -> str:
    """For whom the answer holds, in one sentence's worth of words."""
    whose, each = ("", "") if question.n_devices == 1 else (f"{question.n_devices:,} devices: ", " each")
    words = [
        f"{whose}{use.device.title} on {use.link.title}, {units.number(question.samples_per_day)} samples a day{each}"
    ]
    if question.battery_wh is not None:
        words.append(f"a battery of {question.battery_wh:g} Wh")
    if question.accuracy_min:
        words.append(f"an accuracy of at least {100 * question.accuracy_min:g} %")
    if question.latency_max_s is not None:
        words.append(f"answers within {units.number(question.latency_max_s)} s")
    if not question.third_party:
        words.append("no third party")
    words += [f"{what} {name}" for what, name in (("task", question.task), ("model", question.model)) if name]
    return ", ".join(words)


def _profile(what: str, asked: str, load: Callable[[str], T], read: Callable[[Path], T]) -> T:
    path = Path(asked)
    if path.suffix not in _SUFFIXES:
        return load(asked)
    if not path.is_file():
        raise ConfigError(f"{what}={asked}: there is no such file")
    return read(path)


def _value(name: str, text: str, hint: Any) -> Any:
    """A text as what the key holds. Raises ConfigError, which says what that is."""
    kind = next(kind for kind in (bool, int, float, str) if kind in (hint, *typing.get_args(hint)))
    if kind is str:
        return text
    if kind is bool:
        choose(name, text, ("true", "false"))
        return text == "true"
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (kind is int and not value.is_integer()):
        raise ConfigError(f"{name}={text!r} must be {'a whole number' if kind is int else 'a number'}")
    return kind(value)
