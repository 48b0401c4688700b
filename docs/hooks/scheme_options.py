"""The options of a scheme as its dataclass declares them: default, what is allowed, and the text below each."""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
import typing
from collections.abc import Iterator
from typing import Any

from ppbench.errors import ConfigError
from ppbench.scheme import Scheme

HEADER = ("option", "default", "allowed", "what it is")
_NONSENSE: tuple[tuple[type, Any], ...] = ((float, math.nan), (int, -(10**9)), (str, "?"))
"""What an option refuses, in words that say what is allowed."""


def rows(scheme: type[Scheme]) -> Iterator[tuple[str, ...]]:
    """One for each option, as `HEADER` says."""
    described = _descriptions(scheme)
    for name, default in scheme.defaults().items():
        yield f"`{name}`", f"`{default!r}`", _allowed(scheme, name, default), described.get(name, "")


def _descriptions(scheme: type[Scheme]) -> dict[str, str]:
    """Option -> the text that stands below it where it is declared; the nearest declaration counts."""
    found = {}
    for declaring in reversed(scheme.__mro__[:-1]):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(declaring))).body
        assert isinstance(definition, ast.ClassDef)
        for field, below in zip(definition.body, definition.body[1:], strict=False):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = " ".join(text.split())
    return found


def _allowed(scheme: type[Scheme], option: str, default: Any) -> str:
    """What the scheme itself says is allowed when it is given nonsense; else the option's type."""
    for kind, nonsense in _NONSENSE:
        if type(default) is kind:
            place = f"scheme.{option}={nonsense!r} "
            try:
                scheme(**{option: nonsense})
            except ConfigError as refused:
                if str(refused).startswith(place):
                    return str(refused).removeprefix(place).removeprefix("must be ").removeprefix("is not ")
    expected = typing.get_type_hints(scheme)[option]
    return str(expected) if typing.get_origin(expected) else str(getattr(expected, "__name__", expected))
