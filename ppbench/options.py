"""Options as they come from a configuration, checked against the types their dataclass declares."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

from ppbench.errors import ConfigError, unknown


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


def typed(place: str, value: Any, expected: Any) -> Any:
    """`value` as the annotated type (bool, int, float, str, a tuple of these, or None); else ConfigError."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        expected = next(argument for argument in arguments if argument is not type(None))
        return typed(place, value, expected)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(typed(f"{place}[{i}]", item, arguments[0]) for i, item in enumerate(value))
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(expected, type) and isinstance(value, expected) and isinstance(value, bool) <= (expected is bool):
        return value
    readable = getattr(expected, "__name__", str(expected)) if origin is None else str(expected)
    raise ConfigError(f"{place}={value!r} must be of type {readable}")
