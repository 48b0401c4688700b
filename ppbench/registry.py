"""Finds plugins by entry point; what cannot run here stays in the list, with a reason and a line that mends it."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from ppbench.data.dataset import DatasetSource
from ppbench.errors import UnavailableError, unknown
from ppbench.models.model import Model
from ppbench.options import typed_fields
from ppbench.plugin import Plugin
from ppbench.scheme import Scheme

P = TypeVar("P", bound=Plugin)


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

        Raises ConfigError for an unknown name, UnavailableError if the plugin cannot be imported or is not one.
        """
        declared = self._declared()
        if name not in declared:
            raise unknown(self.what, name, declared)
        try:
            plugin = declared[name].load()
        except Exception as error:
            raise UnavailableError(
                f"{self.what} '{name}' cannot be imported ({type(error).__name__}: {error})"
            ) from error
        if not (isinstance(plugin, type) and issubclass(plugin, self.base)):
            raise UnavailableError(f"{self.what} '{name}': {declared[name].value} is no {self.base.__name__}")
        if plugin.name != name:
            raise UnavailableError(f"{self.what} '{name}' calls itself '{plugin.name}': the two must agree")
        return plugin

    def why_not(self, name: str) -> str | None:
        """None if the plugin can run here, else the reason, with the line that installs what is missing."""
        try:
            plugin = self.load(name)
        except UnavailableError as error:
            return str(error)
        missing = [need for module, need in plugin.requires.items() if not _importable(module)]
        if missing:
            quoted = " ".join(f"'{need}'" for need in missing)
            return f"{self.what} '{name}' needs what is not installed: pip install {quoted}"
        return None

    def create(self, name: str, options: Mapping[str, Any] | None = None) -> P:
        """A plugin with its options checked for name and type, whether or not it can run here.

        Raises ConfigError for an unknown name or option or a value of the wrong type, UnavailableError if
        the plugin cannot be imported.
        """
        plugin = self.load(name)
        return plugin(**typed_fields(plugin, self.what, options or {}))

    def check_available(self, name: str) -> None:
        """Raise UnavailableError, with the reason, if the plugin cannot run here."""
        if reason := self.why_not(name):
            raise UnavailableError(reason)

    @functools.lru_cache(maxsize=1)  # noqa: B019 - a registry lives as long as the process
    def _declared(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group=self.group)}


SCHEMES: Registry[Scheme] = Registry("scheme", "ppbench.schemes", Scheme)
DATASETS: Registry[DatasetSource] = Registry("dataset", "ppbench.datasets", DatasetSource)  # type: ignore[type-abstract]
MODELS: Registry[Model] = Registry("model", "ppbench.models", Model)  # type: ignore[type-abstract]
REGISTRIES: tuple[Registry[Any], ...] = (SCHEMES, DATASETS, MODELS)


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
