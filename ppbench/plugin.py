"""What schemes, data sets, models and attacks have in common: a frozen dataclass whose fields are its options."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any, ClassVar


@dataclasses.dataclass(frozen=True)
class Plugin:
    """A named thing found through an entry point.

    A subclass is a frozen dataclass: its fields, typed and with defaults, are the options a user can set
    (`scheme.pool_size=4`); it checks their values in `__post_init__`. The class must import with numpy alone:
    whatever is heavier is imported where it is used and named in `requires`.
    """

    name: ClassVar[str]
    """The entry point's own name."""
    title: ClassVar[str]
    """One line for `ppbench list`."""
    requires: ClassVar[Mapping[str, str]] = {}
    """Module to import -> requirement to install, for what the plugin needs beyond numpy."""

    def options(self) -> dict[str, Any]:
        """Every option by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Every option's default by name."""
        return {field.name: _default(field) for field in dataclasses.fields(cls)}

    def variant(self) -> str:
        """The options that differ from the defaults, readable: `encoding=uint8,pool_size=4`."""
        return ",".join(
            f"{field.name}={_readable(value)}"
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) != _default(field)
        )


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _readable(value: Any) -> str:
    return "[" + " ".join(map(str, value)) + "]" if isinstance(value, tuple) else str(value)


def target_of(plugin: type[Plugin]) -> str:
    """`module:Class`, by which another process finds the plugin without reading entry points."""
    return f"{plugin.__module__}:{plugin.__qualname__}"


def resolve(target: str) -> Any:
    """The class that `target_of` named."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
