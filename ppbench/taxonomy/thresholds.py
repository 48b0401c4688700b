"""From what point on an overhead is called what: conf/taxonomy.yaml, refused if it contradicts itself or the paper."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from ppbench import profiles
from ppbench.errors import ConfigError
from ppbench.scheme import Computation

Expansion = Literal["compression", "retention", "swelling"]
Reference = Literal["plaintext", "information"]
"""What bytes are set against: those that plaintext sends, or those that a lossless compressor needs for the same."""

COMPUTATION_LABELS: tuple[Computation, ...] = get_args(Computation)
"""From the least overhead to the most."""
EXPANSION_LABELS: tuple[Expansion, ...] = get_args(Expansion)
"""From the fewest bytes to the most."""
REFERENCES: tuple[Reference, ...] = get_args(Reference)
_FILE = "taxonomy.yaml"

C = TypeVar("C", bound=str)


@dataclasses.dataclass(frozen=True)
class Borders:
    """Two thresholds with three labels: below the lower one, from it to the upper one, above that."""

    lower: float
    upper: float

    def around(self, centre: float, factor: float) -> Borders:
        """With both distances from a centre between them multiplied."""
        return Borders(centre + factor * (self.lower - centre), centre + factor * (self.upper - centre))

    def rank(self, value: float, scale: float = 1.0) -> int:
        """0, 1 or 2, with both thresholds multiplied by `scale`."""
        return int(value >= self.lower * scale) + int(value > self.upper * scale)


@dataclasses.dataclass(frozen=True)
class Exemplar:
    """What the paper names as representative of a label, and what it costs for one sample."""

    label: Computation
    macs_per_sample: float


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """All of conf/taxonomy.yaml, which gives the reasons."""

    reference_device: str
    exemplars: Mapping[str, Exemplar]
    device_s_per_sample: Borders
    times_random_projection: Borders
    times_plain_inference: Borders
    firmness_factor: float
    iterative_above_rounds: float
    reference: Reference
    expansion: Borders
    firmness_share: float
    amortised_over_samples: tuple[int, ...]
    where: str
    """Whose file they are in."""


def thresholds_file() -> Path:
    """Ours, or that of the one installed package with plugins that has its own. Raises ConfigError if several have."""
    theirs = [folder / _FILE for folder in profiles.plugin_conf_dirs().values() if (folder / _FILE).is_file()]
    if len(theirs) > 1:
        raise ConfigError(f"several packages bring thresholds: {', '.join(map(str, theirs))}")
    return theirs[0] if theirs else profiles.CONF_DIR / _FILE


def load_thresholds(path: Path | None = None) -> Thresholds:
    """Read the thresholds, those of `thresholds_file` unless another is named.

    Raises ConfigError, naming file and key, for what is missing, unknown or out of order.
    """
    path = thresholds_file() if path is None else path
    tree = profiles.content(path, str(path))
    top = _Section(path.name, "", tree, ("reference_device", "computation", "communication"))
    computation = top.section(
        "computation",
        ("exemplars", "device_s_per_sample", "times_random_projection", "times_plain_inference", "firmness_factor"),
    )
    communication = top.section(
        "communication",
        ("iterative_above_rounds", "reference", "expansion", "firmness_share", "amortised_over_samples"),
    )
    thresholds = Thresholds(
        reference_device=top.text("reference_device"),
        exemplars=_exemplars(computation),
        device_s_per_sample=computation.borders("device_s_per_sample", "low_below", "high_above"),
        times_random_projection=computation.borders("times_random_projection", "low_below", "high_above"),
        times_plain_inference=computation.borders("times_plain_inference", "low_below", "high_above"),
        firmness_factor=computation.number("firmness_factor", least=1),
        iterative_above_rounds=communication.number("iterative_above_rounds"),
        reference=communication.choice("reference", REFERENCES),
        expansion=_expansion(communication),
        firmness_share=communication.number("firmness_share", most=1),
        amortised_over_samples=communication.counts("amortised_over_samples"),
        where=_where(path),
    )
    _check_exemplars(path.name, thresholds)
    return thresholds


def _where(path: Path) -> str:
    for package, folder in profiles.plugin_conf_dirs().items():
        if path.parent == folder:
            return f"{package}'s conf/{_FILE}"
    return f"conf/{_FILE}"


class _Section:
    """A mapping of the file, which knows where it stands and which keys it must have."""

    def __init__(self, file: str, place: str, tree: object, keys: tuple[str, ...]) -> None:
        self.file = file
        self.place = place
        if not isinstance(tree, Mapping):
            raise ConfigError(f"{file}: {place or 'the file'} must hold {', '.join(keys)}")
        for key in tree:
            if keys and key not in keys:
                raise ConfigError(f"{file}: unknown key {self._name(key)} (known: {', '.join(keys)})")
        for key in keys:
            if tree.get(key) is None:
                raise ConfigError(f"{file}: {self._name(key)} is missing")
        self.tree: Mapping[Any, Any] = tree

    def section(self, key: str, keys: tuple[str, ...]) -> _Section:
        """The mapping under a key; any keys if none are given."""
        return _Section(self.file, self._name(key), self.tree[key], keys)

    def text(self, key: str) -> str:
        value = self.tree[key]
        if not isinstance(value, str):
            raise ConfigError(f"{self.file}: {self._name(key)}={value!r} must be a name")
        return value

    def choice(self, key: str, known: tuple[C, ...]) -> C:
        value = self.text(key)
        for one in known:
            if value == one:
                return one
        raise ConfigError(f"{self.file}: {self._name(key)}={value!r} is not one of {', '.join(known)}")

    def number(self, key: str, least: float = 0, most: float = math.inf) -> float:
        """A finite number above 0, from `least` to `most`."""
        value = self.tree[key]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or value <= 0 or not least <= value <= most:
            bounds = [f"a number above {least:g}" if least == 0 else f"at least {least:g}"]
            bounds += [f"at most {most:g}"] if most < math.inf else []
            raise ConfigError(f"{self.file}: {self._name(key)}={value!r} must be {' and '.join(bounds)}")
        return float(value)

    def borders(self, key: str, lower: str, upper: str) -> Borders:
        section = self.section(key, (lower, upper))
        borders = Borders(section.number(lower), section.number(upper))
        if borders.lower >= borders.upper:
            raise ConfigError(
                f"{self.file}: {section.place} is out of order: {lower}={borders.lower:g} must be less than "
                f"{upper}={borders.upper:g}"
            )
        return borders

    def counts(self, key: str) -> tuple[int, ...]:
        """Whole numbers from 1 on, each larger than the one before."""
        values = self.tree[key]
        good = isinstance(values, list) and all(isinstance(n, int) and not isinstance(n, bool) for n in values)
        if not good or not values or values[0] < 1 or sorted(set(values)) != values:
            raise ConfigError(f"{self.file}: {self._name(key)}={values!r} must be whole numbers from 1 on, ascending")
        return tuple(values)

    def _name(self, key: object) -> str:
        return f"{self.place}.{key}" if self.place else str(key)


def _expansion(communication: _Section) -> Borders:
    borders = communication.borders("expansion", "compression_below", "swelling_above")
    if not borders.lower < 1 < borders.upper:
        raise ConfigError(
            f"{communication.file}: communication.expansion must have 1, plaintext itself, between "
            f"compression_below={borders.lower:g} and swelling_above={borders.upper:g}"
        )
    return borders


def _exemplars(computation: _Section) -> dict[str, Exemplar]:
    section = computation.section("exemplars", ("random_projection", "plain_inference", "homomorphic_encryption"))
    exemplars = {}
    for name in section.tree:
        one = section.section(name, ("label", "macs_per_sample"))
        exemplars[name] = Exemplar(one.choice("label", COMPUTATION_LABELS), one.number("macs_per_sample"))
    return exemplars


def _check_exemplars(file: str, thresholds: Thresholds) -> None:
    """Thresholds that give a representative another label than the paper does are wrong, whatever they are."""
    for reference in ("random_projection", "plain_inference"):
        borders: Borders = getattr(thresholds, f"times_{reference}")
        for name, exemplar in thresholds.exemplars.items():
            times = exemplar.macs_per_sample / thresholds.exemplars[reference].macs_per_sample
            label = COMPUTATION_LABELS[borders.rank(times)]
            if label != exemplar.label:
                raise ConfigError(
                    f"{file}: computation.times_{reference} calls {name} {label}, and exemplars.{name}.label is "
                    f"{exemplar.label}"
                )
