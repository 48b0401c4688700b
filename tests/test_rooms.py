"""CONTRIBUTING.md lists the rooms of the package from the ground up; no module imports from a higher room."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

PACKAGE = ROOT / "ppbench"


def rooms() -> dict[str, int]:
    """First part of a module's name -> how high it stands."""
    (listed,) = re.findall(r"^```rooms\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S)
    heights: dict[str, int] = {}
    for height, line in enumerate(listed.splitlines()):
        _, *names = line.partition(":")[0].split()
        assert heights.keys().isdisjoint(names)
        heights |= dict.fromkeys(names, height)
    return heights


def imported(path: Path) -> Iterator[str]:
    """Every module of ppbench that a file imports, at its top or anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, f"{path}: a relative import"
            # What is imported from the package itself may be a module of it.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_imports_from_a_higher_room(path: Path) -> None:
    heights = rooms()
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for name in imported(path):
        package, *rest = name.split(".")
        assert package not in ("schemes", "tests"), f"{name} is not ours to import"
        # The package itself is everywhere: it holds its version, and its doors open when they are asked for.
        if package == "ppbench" and rest and not rest[0].startswith("__"):
            assert heights[rest[0]] <= heights[own], f"{own} imports {name}"


def test_every_module_has_a_room_and_every_room_modules() -> None:
    names = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
    assert names == rooms().keys()
