"""What all that is found through entry points has in common, and what has options beside."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from ppbench.errors import ConfigError


class Declared:
    """A named thing found through an entry point.

    The class must import with numpy alone: whatever is heavier is imported where it is used and named in `requires`.
    """

    name: ClassVar[str]
    """The entry point's own name."""
    title: ClassVar[str]
    """One line for `ppbench list`."""
    requires: ClassVar[Mapping[str, str]] = {}
    """Module to import -> requirement to install, for what it needs beyond numpy."""

    @classmethod
    def missing(cls) -> list[str]:
        """The requirements that are not installed here."""
        return [need for module, need in cls.requires.items() if not _importable(module)]

    @classmethod
    def why_not(cls) -> str | None:
        """None if it can run here, else the reason, with the line that installs what is missing."""
        if not (missing := cls.missing()):
            return None
        needs = " ".join(f"'{need}'" for need in missing)
        return f"'{cls.name}' needs what is not installed: pip install {needs}"


@dataclasses.dataclass(frozen=True)
class Plugin(Declared):
    """A scheme, a data set or a model: a frozen dataclass.

    Its fields, typed and with defaults, are the options a user can set (`scheme.pool_size=4`); it checks their values
    in `__post_init__`.
    """

    def unavailable(self) -> str | None:
        """None if it can run here with these options, else the reason as `why_not` gives it."""
        return self.why_not()

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


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _readable(value: Any) -> str:
    return "[" + " ".join(map(str, value)) + "]" if isinstance(value, tuple) else str(value)


def distribution(requirement: str) -> str:
    """The name in a requirement such as `torch>=2.13`."""
    match = re.match(r"[\w.-]+", requirement)
    return match[0] if match else requirement


def target_of(plugin: type[Plugin]) -> str:
    """`module:Class`, by which another process finds the plugin. Raises ConfigError if none could."""
    if plugin.__module__ == "__main__" or "<locals>" in plugin.__qualname__:
        raise ConfigError(f"{plugin.__qualname__} must be defined at the top of a module that its parties can import")
    return f"{plugin.__module__}:{plugin.__qualname__}"


def resolve(target: str) -> Any:
    """The class that `target_of` named."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
