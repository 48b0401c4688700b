"""Options as they come from a configuration, checked against the types their dataclass declares."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

from ppbench.errors import ConfigError, unknown

ALLOWED = "bool, int, float, str, a tuple of one of these, or None beside it"
"""What an option may be declared as."""


def typed_fields(kind: type[Any], place: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the dataclass `kind`, with their types; ConfigError names an unknown one or a wrong type."""
    fields = {field.name for field in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    values = {}
    for option, value in options.items():
        if option not in fields:
            raise unknown(f"option in {place}", option, fields)
        values[option] = typed(f"{place}.{option}", value, hints[option])
    return values


def untypable(kind: type[Any]) -> list[str]:
    """The options of a dataclass that are declared as something that no value from a configuration can be told to be.

    Raises what its annotations raise when they are read.
    """
    hints = typing.get_type_hints(kind)
    return [field.name for field in dataclasses.fields(kind) if not _is_typable(hints[field.name])]


def _is_typable(expected: Any) -> bool:
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        return _is_typable(_beside_none(arguments))
    if origin is tuple:
        return _is_typable(arguments[0])
    return isinstance(expected, type) and origin is None and expected is not Any


def _beside_none(arguments: tuple[Any, ...]) -> Any:
    return next(argument for argument in arguments if argument is not type(None))


def typed(place: str, value: Any, expected: Any) -> Any:
    """`value` as the annotated type (bool, int, float, str, a tuple of these, or None); else ConfigError."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return typed(place, value, _beside_none(arguments))
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(typed(f"{place}[{i}]", item, arguments[0]) for i, item in enumerate(value))
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(expected, type) and isinstance(value, expected) and isinstance(value, bool) <= (expected is bool):
        return value
    readable = getattr(expected, "__name__", str(expected)) if origin is None else str(expected)
    raise ConfigError(f"{place}={value!r} must be of type {readable}")
