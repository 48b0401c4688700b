"""Short names for schemes and variants, where a picture or a table has no room for every option."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf

from ppbench import profiles
from ppbench.errors import PpbenchError
from ppbench.registry import SCHEMES
from ppbench.report.groups import Group


def short_names(groups: Sequence[Group]) -> list[str]:
    """The named choice in conf/scheme/ that comes nearest, with the options in which the group differs from it.

    Groups that would share a name have their data set in it, then their model, and if that does not tell them apart,
    their label instead. No two groups have the same name.
    """
    names = _by_task([_short_name(group) for group in groups], groups)
    if len(set(names)) == len(names):
        return names
    labels = _by_task([group.label for group in groups], groups)
    return [label if names.count(name) > 1 else name for name, label in zip(names, labels, strict=True)]


def _by_task(names: Sequence[str], groups: Sequence[Group]) -> list[str]:
    """With data set and model behind those that are there several times, where these differ."""
    for part in (0, 1):
        parts: dict[str, set[str]] = {}
        for name, group in zip(names, groups, strict=True):
            parts.setdefault(name, set()).add(group.task[part])
        names = [
            f"{name}, {group.task[part]}" if len(parts[name]) > 1 else name
            for name, group in zip(names, groups, strict=True)
        ]
    return list(names)


def _short_name(group: Group) -> str:
    options = {key: value for key, value in group.jobs[0].config["scheme"].items() if key != "name"}
    try:
        defaults = SCHEMES.load(group.scheme).defaults()
    except PpbenchError:
        return group.label
    differing = {key: value for key, value in options.items() if _plain(value) != _plain(defaults.get(key))}
    choices = [
        (len(own), name, own)
        for name, (scheme, own) in _choices().items()
        if scheme == group.scheme and all(_plain(differing.get(key)) == _plain(value) for key, value in own.items())
    ]
    _, name, chosen = max(choices, key=lambda choice: choice[:2], default=(0, group.scheme, {}))
    rest = [_readable(key, value) for key, value in differing.items() if key not in chosen]
    return f"{name} ({', '.join(rest)})" if rest else name


@functools.cache
def _choices() -> dict[str, tuple[str, dict[str, Any]]]:
    """Choice -> its scheme and the options that it sets, those of what it builds on included."""
    files: dict[str, tuple[str, dict[str, Any]]] = {}
    for path in profiles.files_of("scheme").values():
        tree = OmegaConf.to_container(OmegaConf.load(path))
        if not isinstance(tree, dict):
            continue  # a stranger's file may hold anything
        parents = [entry for entry in tree.pop("defaults", []) if isinstance(entry, str) and entry != "_self_"]
        if parents:
            files[path.stem] = parents[0], {str(key): value for key, value in tree.items()}
    return {name: _resolved(name, files) for name in files}


def _resolved(name: str, files: Mapping[str, tuple[str, dict[str, Any]]]) -> tuple[str, dict[str, Any]]:
    parent, own = files[name]
    if parent not in files:
        return parent, own
    scheme, inherited = _resolved(parent, files)
    return scheme, inherited | own


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else value


def _readable(key: str, value: Any) -> str:
    """A word says of itself what it is; a number does not."""
    if isinstance(value, str):
        return value
    text = "[" + " ".join(map(str, value)) + "]" if isinstance(value, list | tuple) else str(value)
    return f"{key}={text}"
