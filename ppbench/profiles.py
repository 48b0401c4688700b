"""What profiles in `conf/` have in common: named files of figures, each of which says where it is from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ppbench.errors import ConfigError, unknown

ASSUMPTION = "assumption:"
"""How the source of a figure begins that nobody has measured or published."""


def names(folder: Path) -> list[str]:
    """Of all profiles of a kind."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def named(folder: Path, name: str) -> Path:
    """The file of a profile; the folder is called after the kind. Raises ConfigError if there is none."""
    if name not in (known := names(folder)):
        raise unknown(folder.name, name, known)
    return folder / f"{name}.yaml"


def content(path: Path, where: str) -> Any:
    """What a file holds. Raises ConfigError, which begins with `where`, if it cannot be read."""
    try:
        return OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{where} cannot be read: {' '.join(str(error).split())}") from error


def check_keys(where: str, profile: Mapping[Any, Any], keys: Collection[str], nullable: Collection[str] = ()) -> None:
    """Refuse an unknown key, and one that is missing; only those in `nullable` may be null."""
    for key in profile:
        if key not in keys:
            raise ConfigError(f"{where}: {unknown('key', str(key), keys)}")
    for key in keys:
        if key not in profile or (profile[key] is None and key not in nullable):
            raise ConfigError(f"{where}: {key} is missing")


def checked_sources(where: str, sources: Any, figures: Collection[str]) -> dict[str, str]:
    """The source of each figure, on one line. Raises ConfigError for a figure without, and for one there is not."""
    if not isinstance(sources, Mapping):
        raise ConfigError(f"{where}: sources must say for each figure where it is from")
    for key in sources:
        if key not in figures:
            raise ConfigError(f"{where}: {unknown('figure in sources', str(key), figures)}")
    for key in figures:
        text = sources.get(key)
        if not isinstance(text, str) or not text.removeprefix(ASSUMPTION).strip():
            raise ConfigError(f"{where}: sources.{key} is missing: where the figure is from, or '{ASSUMPTION} ...'")
    return {key: " ".join(sources[key].split()) for key in figures}
