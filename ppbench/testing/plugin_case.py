"""A plugin under check, of whatever kind: what it is made with, and what a fresh interpreter makes of it."""

from __future__ import annotations

import dataclasses
import functools
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from ppbench.bundle import Tree
from ppbench.plugin import Plugin, target_of
from ppbench.process import environment, module_command
from ppbench.registry import Registry
from ppbench.testing import evidence
from ppbench.testing.result import CheckFailed, CheckSkipped

P = TypeVar("P", bound=Plugin)


@dataclasses.dataclass
class PluginCase(Generic[P]):
    """One plugin, and what it is checked with."""

    registry: ClassVar[Registry[Any]]

    given: type[P] | P
    folder: Path
    deadline_s: float

    @property
    def cls(self) -> type[P]:
        """The plugin's class."""
        return self.given if isinstance(self.given, type) else type(self.given)

    @functools.cached_property
    def plugin(self) -> P:
        """The plugin with the options it was given, else its defaults. Raises CheckSkipped if it has none."""
        if not isinstance(self.given, type):
            return self.given
        try:
            return self.given()
        except Exception as error:
            raise CheckSkipped(f"it cannot be made with its defaults ({type(error).__name__}: {error})") from error

    @functools.cached_property
    def fresh(self) -> Tree:
        """What a fresh interpreter tells of importing and building the plugin."""
        return self.told_by("ppbench.testing.fresh", described(self.plugin))

    def told_by(self, module: str, given: Mapping[str, Any], *arguments: str) -> Tree:
        """The JSON that a module prints in a fresh interpreter. Raises CheckFailed if it fails there."""
        done = subprocess.run(
            [*module_command(module), *arguments],
            input=json.dumps(given).encode(),
            capture_output=True,
            env=environment(threads=1),
            timeout=self.deadline_s,
        )
        if done.returncode:
            printed = done.stderr.decode(errors="replace").strip()
            last = printed.splitlines() or [f"status {done.returncode}"]
            raise CheckFailed(f"in a fresh interpreter it fails: {last[-1]}", evidence.of_text(self.cls, printed))
        return json.loads(done.stdout)


def described(plugin: Plugin) -> dict[str, Any]:
    """Class and options, as JSON takes them. Raises CheckSkipped if it does not."""
    description = {"target": target_of(type(plugin)), "options": plugin.options()}
    try:
        json.dumps(description)
    except TypeError as error:
        raise CheckSkipped(f"its options cannot travel: {error}") from error
    return description
