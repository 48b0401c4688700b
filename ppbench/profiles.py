"""Where the files of `conf/` are, ours and those of packages with plugins, and what the profiles among them share.

A profile is a named file of figures, each of which says where it is from.
"""

from __future__ import annotations

import functools
import importlib.util
import io
from collections.abc import Collection, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ppbench.errors import ConfigError, unknown

_HERE = Path(__file__).resolve().parent
CONF_DIR = next(folder for folder in (_HERE / "conf", _HERE.parent / "conf") if folder.is_dir())
"""Our own: inside an installed wheel, else in the checkout."""
ASSUMPTION = "assumption:"
"""How the source of a figure begins that nobody has measured or published."""
_GROUPS = "ppbench."
"""How the groups of entry points begin that plugins are declared in."""


@functools.cache
def plugin_conf_dirs() -> Mapping[str, Path]:
    """Package that declares a plugin -> its folder `conf`, where it has one; ours is not among them."""
    declared = entry_points()
    packages = {
        entry.value.partition(":")[0].partition(".")[0]
        for group in declared.groups
        if group.startswith(_GROUPS)
        for entry in declared.select(group=group)
    }
    found = {}
    for package in sorted(packages - {"ppbench", "schemes"}):
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or []) if spec else []:
            if (folder := Path(place) / "conf").is_dir():
                found[package] = folder
    return found


def files_of(group: str) -> dict[str, Path]:
    """Name -> file, sorted by name, of all files of a group, such as `device`; where two have one name, ours counts."""
    found: dict[str, Path] = {}
    for folder in (CONF_DIR, *plugin_conf_dirs().values()):
        for path in (folder / group).glob("*.yaml"):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def named(group: str, name: str) -> Path:
    """The file of a profile. Raises ConfigError if there is none."""
    files = files_of(group)
    if name not in files:
        raise unknown(group, name, files)
    return files[name]


def content(path: Path, where: str) -> Any:
    """What a file holds. Raises ConfigError, which begins with `where`, if it cannot be read."""
    try:
        return OmegaConf.to_container(_parsed(path.read_text(encoding="utf-8")), resolve=True)
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{where} cannot be read: {' '.join(str(error).split())}") from error


@functools.lru_cache(maxsize=256)
def _parsed(text: str) -> Any:
    """Every report reads all devices and links; parsing them takes longer than all else on its page."""
    return OmegaConf.load(io.StringIO(text))


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
