"""What data sets and models make of options that nobody should give them."""

from __future__ import annotations

import dataclasses
import math
import pickle
from collections.abc import Iterator
from typing import Any

from ppbench.errors import PpbenchError
from ppbench.plugin import Plugin
from ppbench.testing import evidence
from ppbench.testing.plugin_case import PluginCase
from ppbench.testing.result import CheckFailed, require

_NONSENSE: dict[type, tuple[Any, ...]] = {float: (math.nan, -math.inf), int: (-(10**9),)}


def nonsense_is_refused(case: PluginCase[Any]) -> None:
    """An option that is NaN, infinite or a huge negative number is refused by a ConfigError when it is given."""
    for changed in _nonsensical(case.plugin):
        try:
            type(case.plugin)(**{**case.plugin.options(), **changed})
        except PpbenchError as error:
            require(str(error).strip(), f"{changed} is refused without a word")
            continue
        except Exception as error:
            told = f"{changed} is no ConfigError but an accident: {type(error).__name__}: {error}"
            raise CheckFailed(told, evidence.of_error(case.cls, error)) from error
        raise CheckFailed(f"{changed} is taken as if nothing were wrong")


def can_be_a_key(case: PluginCase[Any]) -> None:
    """Two that are made alike are equal, hash alike and survive pickling, so that what they load can be kept."""
    twin = type(case.plugin)(**case.plugin.options())
    require(twin == case.plugin, "made twice with the same options, it is not equal to itself")
    try:
        require(hash(twin) == hash(case.plugin), "made twice with the same options, it has two hashes")
        require(pickle.loads(pickle.dumps(twin)) == twin, "what comes out of a pickle is not equal to what went in")
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise CheckFailed(f"{type(error).__name__}: {error}", evidence.of_error(case.cls, error)) from error


def _nonsensical(plugin: Plugin) -> Iterator[dict[str, Any]]:
    for field in dataclasses.fields(plugin):
        for value in _NONSENSE.get(type(getattr(plugin, field.name)), ()):
            yield {field.name: value}
