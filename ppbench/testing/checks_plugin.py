"""What a plugin, and a scheme above all, says of itself before anything runs."""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from importlib.metadata import entry_points
from typing import Any

from ppbench.errors import ConfigError
from ppbench.options import typed_fields
from ppbench.plugin import target_of
from ppbench.scheme import COORDINATOR, PARTICIPANT, Communication, Computation, Role, SchemeCard, TaskKind
from ppbench.testing.case import Case
from ppbench.testing.plugin_case import PluginCase
from ppbench.testing.result import CheckFailed, require, skip_if

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_OTHER_VALUES: dict[type, Any] = {bool: lambda v: not v, int: lambda v: v + 1, float: lambda v: v / 2 or 0.5}


def card_is_complete(case: Case) -> None:
    """The card names paper, place in the taxonomy, what is protected from whom, and what that assumes."""
    card = getattr(case.cls, "card", None)
    require(isinstance(card, SchemeCard), "the class has no SchemeCard as its `card`")
    assert isinstance(card, SchemeCard)
    for field in ("title", "source", "protects", "guarantee"):
        text = getattr(card, field)
        require(isinstance(text, str) and text.strip(), f"card.{field} is empty")
    require(isinstance(card.taxonomy, tuple) and card.taxonomy, "card.taxonomy is no path, such as ('inference', ...)")
    require(all(isinstance(step, str) and step for step in card.taxonomy), "card.taxonomy has an empty step")
    allowed: dict[str, tuple[Any, ...]] = {
        "task": typing.get_args(TaskKind),
        "computation": (None, *typing.get_args(Computation)),
        "communication": (None, *typing.get_args(Communication)),
    }
    for field, values in allowed.items():
        require(getattr(card, field) in values, f"card.{field}={getattr(card, field)!r} is none of {values}")


def name_is_its_entry_point(case: PluginCase[Any]) -> None:
    """The class's name is that of its entry point, nobody else's, and can stand in a file name and a command."""
    name, title = getattr(case.cls, "name", None), getattr(case.cls, "title", None)
    require(isinstance(name, str) and _NAME.fullmatch(name), f"name={name!r} is not lower-case letters, digits and _")
    require(isinstance(title, str) and title and "\n" not in title, "title is not one line")
    target = f"{case.cls.__module__}:{case.cls.__qualname__}"
    declared = {entry.name: entry for entry in entry_points(group=case.registry.group)}
    own = [entry.name for entry in declared.values() if entry.value == target]
    if own:
        require(own == [name], f"it calls itself '{name}', but its entry point is '{own[0]}'")
        return
    if name in declared:
        # The value may name the class by a package that re-exports it.
        require(declared[name].load() is case.cls, f"'{name}' is the entry point of {declared[name].value}")
        return
    skip_if(True, f"no entry point in {case.registry.group} names it")


def options_are_typed_with_defaults(case: PluginCase[Any]) -> None:
    """Every option has a type that a configuration can hold, a default, and cannot change under the harness's feet."""
    cls: Any = case.cls
    require("__dataclass_params__" in vars(cls), "the class itself must be decorated with @dataclass(frozen=True)")
    require(cls.__dataclass_params__.frozen, "the dataclass must be frozen")
    for field in dataclasses.fields(cls):
        missing = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        require(not missing, f"option '{field.name}' has no default")
    defaults = cls.defaults()
    for attribute in vars(cls).get("__annotations__", {}):
        hint = str(vars(cls)["__annotations__"][attribute])
        require(attribute in defaults or "ClassVar" in hint, f"'{attribute}' is neither an option nor a ClassVar")
    try:
        read = typed_fields(cls, case.registry.what, json.loads(json.dumps(defaults)))
    except (ConfigError, TypeError) as error:
        raise CheckFailed(f"the defaults do not survive a configuration: {error}") from error
    require(read == defaults, f"the defaults {defaults} come back from a configuration as {read}")


def variant_names_what_differs(case: PluginCase[Any]) -> None:
    """`variant()` is empty for the defaults, and one readable line that tells any two configurations apart."""
    cls: Any = case.cls
    require(cls().variant() == "", f"variant() of the defaults is {cls().variant()!r} instead of ''")
    for field in dataclasses.fields(cls):
        default = getattr(cls(), field.name)
        change = _OTHER_VALUES.get(type(default))
        if change is None:
            continue
        try:
            other = cls(**{field.name: change(default)})
        except ConfigError:
            continue
        variant = other.variant()
        require(variant and variant.isprintable(), f"variant() is {variant!r} where {field.name}={change(default)!r}")
        require(field.name in variant, f"variant() is {variant!r}, which does not name the option '{field.name}'")


def roles_are_complete(case: Case) -> None:
    """There is a participant and a coordinator, each a Role that does something; the card's task is what they do."""
    roles = getattr(case.cls, "roles", None)
    require(isinstance(roles, typing.Mapping), "the class has no mapping `roles`")
    assert isinstance(roles, typing.Mapping)
    for name in (PARTICIPANT, COORDINATOR):
        require(name in roles, f"there is no role '{name}'")
    stages = ("setup", "train", "offline", "online", "serve")
    for name, role in roles.items():
        require(_NAME.fullmatch(name), f"the role {name!r} is not lower-case letters, digits and _")
        require(isinstance(role, type) and issubclass(role, Role), f"the role '{name}' is no subclass of Role")
        require(any(role.takes_part_in(stage) for stage in stages), f"the role '{name}' takes part in no stage")
    trains = any(role.takes_part_in("train") for role in roles.values())
    kind = case.cls.card.task
    require(trains == (kind == "training"), f"the card's task is {kind}, but {'a' if trains else 'no'} role trains")
    answers = [name for name, role in roles.items() if role.takes_part_in("online")]
    require(not answers or PARTICIPANT in answers, "there is an online stage, but no participant to answer in it")
    require(trains or answers, "no role takes part in train or online: nothing can come of it")
    active = case.scheme.active_roles()
    for name in (PARTICIPANT, COORDINATOR):
        require(name in active, f"active_roles() are {active}: without the {name} there is no job")
    strangers = [name for name in active if name not in roles]
    require(not strangers, f"active_roles() names {strangers}, which are no roles")


def parties_can_find_it(case: PluginCase[Any]) -> None:
    """A fresh interpreter on any machine builds the same plugin from its class's name and its options as JSON."""
    try:
        target_of(case.cls)
    except ConfigError as error:
        raise CheckFailed(str(error)) from error
    built = case.fresh["options"]
    expected = json.loads(json.dumps(case.plugin.options()))
    require(built == expected, f"built in a fresh interpreter its options are {built} instead of {expected}")


def imports_with_numpy_alone(case: PluginCase[Any]) -> None:
    """Importing its module brings in numpy at most: a device must afford it."""
    try:
        imports = case.fresh["imports"]
    except CheckFailed as error:
        raise CheckFailed(f"it cannot be imported: {error}") from error
    require(not imports, f"importing it brings in {', '.join(imports)}: import them where they are used")
