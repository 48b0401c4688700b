"""Finds plugins by entry point; what cannot run here stays in the list, with a reason and a line that mends it."""

from __future__ import annotations

import contextlib
import functools
import json
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from ppbench import options
from ppbench.data.dataset import DatasetSource
from ppbench.errors import UnavailableError, told, unknown
from ppbench.models.model import Model
from ppbench.plugin import Declared, Plugin
from ppbench.scheme import Scheme

P = TypeVar("P", bound=Declared)


class Registry(Generic[P]):
    """The plugins of one kind, by name."""

    def __init__(self, what: str, group: str, base: type[P]) -> None:
        self.what = what
        self.group = group
        self.base = base

    def names(self) -> list[str]:
        """Every declared name, available here or not."""
        return sorted(self._declared())

    def load(self, name: str) -> type[P]:
        """The plugin's class, even when what it requires is not installed.

        Raises ConfigError for an unknown name, UnavailableError if the plugin cannot be imported or is not one, and if
        several packages declare one of this name.
        """
        declared = self._declared()
        if name not in declared:
            raise unknown(self.what, name, declared)
        entry, *others = declared[name]
        if others:
            places = " and ".join(sorted(map(_place, declared[name])))
            raise UnavailableError(f"{self.what} '{name}' is declared by {places}: uninstall all but one, or rename it")
        try:
            plugin = entry.load()
        except (Exception, SystemExit) as error:
            raise UnavailableError(f"{self.what} '{name}' cannot be imported ({told(error)})") from error
        if not (isinstance(plugin, type) and issubclass(plugin, self.base)):
            raise UnavailableError(f"{self.what} '{name}': {entry.value} is no {self.base.__name__}")
        if fault := _fault(plugin, name):
            raise UnavailableError(f"{self.what} '{name}' {fault}")
        return plugin

    def declared_by(self, plugin: type[Declared]) -> tuple[str, str] | None:
        """Name and version of the distribution that declares the plugin; None if none does."""
        for entry in self._declared().get(plugin.name, ()):
            # Another plugin of the same name may raise anything.
            with contextlib.suppress(Exception, SystemExit):
                if entry.dist is not None and entry.load() is plugin:
                    return entry.dist.name, entry.dist.version
        return None

    def why_not(self, name: str) -> str | None:
        """None if the plugin can run here, else the reason, with the line that installs what is missing."""
        try:
            reason = self.load(name).why_not()
        except UnavailableError as error:
            return str(error)
        except Exception as error:  # a plugin may raise anything
            return f"{self.what} '{name}' cannot say whether it can run here ({told(error)})"
        return reason and f"{self.what} {reason}"

    @functools.cache  # noqa: B019 - a registry lives as long as the process
    def _declared(self) -> dict[str, list[EntryPoint]]:
        """Name -> who declares it, each place once."""
        found: dict[str, dict[str, EntryPoint]] = {}
        for entry in entry_points(group=self.group):
            found.setdefault(entry.name, {}).setdefault(entry.value, entry)
        return {name: list(entries.values()) for name, entries in found.items()}


def _place(entry: EntryPoint) -> str:
    return f"{entry.value} of {entry.dist.name}" if entry.dist else entry.value


def _fault(plugin: type[Declared], name: str) -> str | None:
    """What makes it useless even to name the plugin in a list or a configuration."""
    annotated = [item for cls in plugin.__mro__ for item in vars(cls).get("__annotations__", {}).items()]
    awaited = {attribute for attribute, hint in annotated if "ClassVar" in str(hint)}
    if lacking := sorted(attribute for attribute in awaited if not hasattr(plugin, attribute)):
        return f"has no {' and no '.join(lacking)}"
    if plugin.name != name:
        return f"calls itself '{plugin.name}': the two must agree"
    if not issubclass(plugin, Plugin):
        return None
    if taken := sorted(
        name for name in vars(plugin).get("__annotations__", {}) if callable(getattr(Plugin, name, None))
    ):
        return f"has an option of the name that a method has: {', '.join(taken)}"
    try:
        json.dumps(plugin.defaults())
        untypable = options.untypable(plugin)
    except Exception as error:  # no dataclass, an option without a default or with one that no file can hold
        return f"has options that no configuration can hold ({told(error)})"
    if untypable:
        return f"declares {', '.join(untypable)} as none of what an option may be: {options.ALLOWED}"
    return None


SCHEMES: Registry[Scheme] = Registry("scheme", "ppbench.schemes", Scheme)
DATASETS: Registry[DatasetSource] = Registry("dataset", "ppbench.datasets", DatasetSource)  # type: ignore[type-abstract]
MODELS: Registry[Model] = Registry("model", "ppbench.models", Model)  # type: ignore[type-abstract]
REGISTRIES: tuple[Registry[Any], ...] = (SCHEMES, DATASETS, MODELS)
