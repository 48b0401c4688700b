"""The code that something is made of: modules and what they import, found in their sources without running them.

A module that is named by a string, alone or as `module:Class`, counts as imported: it may be by that name.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.machinery
import importlib.util
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

COMPUTING = ("ppbench.data", "ppbench.models", "ppbench.learners", "ppbench.privacy", "ppbench.he")
"""What plugins compute with, whosever they are. The rest of ppbench carries what they make, and decides none of it."""

_NAMED = re.compile(r"([^\W\d]\w*(?:\.\w+)+)(?::\w+)?")
_ENDINGS = (".py", *importlib.machinery.EXTENSION_SUFFIXES)


def of(*modules: str) -> str:
    """Digest of some modules and of all they import from their own packages and from `COMPUTING`.

    Raises ModuleNotFoundError for a module that has no file.
    """
    own = {_top(module) for module in modules} - {"ppbench"}
    return digest(closure(modules, (*own, *COMPUTING)))


def of_class(plugin: type) -> str:
    """The same of a plugin's module and of those of the classes that it derives from, whosever they are."""
    bases = {base.__module__ for base in plugin.__mro__}
    foreign = {base for base in bases if _top(base) not in (*sys.stdlib_module_names, "ppbench")}
    return of(plugin.__module__, *sorted(foreign - {plugin.__module__}))


def closure(modules: Iterable[str], within: Collection[str], without: Collection[str] = ()) -> Mapping[str, Path]:
    """The file of each of these modules and of all that they import, of those that lie within some packages.

    Modules that lie within `without` are left out, with what they alone import. Raises ModuleNotFoundError for a given
    module that has no file.
    """
    found = {module: _given(module) for module in modules}
    waiting = list(found)
    while waiting:
        module = waiting.pop()
        for name in _imported(module, found[module]):
            if name in found or not _lies_in(name, within) or _lies_in(name, without):
                continue
            if (file := _file(name)) is not None:
                found[name] = file
                waiting.append(name)
    return found


def digest(files: Mapping[str, Path]) -> str:
    """16 hex digits of the SHA-256 of some modules' names and files."""
    sources = hashlib.sha256()
    for module, file in sorted(files.items()):
        source = file.read_bytes()
        sources.update(f"{module} {len(source)} ".encode() + source)
    return sources.hexdigest()[:16]


def _imported(module: str, file: Path) -> Iterator[str]:
    """Every name that may be a module's, with the packages that it lies in; the module's own are among them."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    names = _names(file.read_bytes(), package) if file.suffix == ".py" else ()
    for name in (module, *names):
        parts = name.split(".")
        yield from (".".join(parts[:n]) for n in range(1, len(parts) + 1))


@functools.cache
def _names(source: bytes, package: str) -> frozenset[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # nobody can import it
        return frozenset()
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                names.update(alias.name for alias in node.names)
            case ast.ImportFrom():
                above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                origin = ".".join([*above, *([node.module] if node.module else [])])
                # What is imported from a package may be a module of it.
                names.update(f"{origin}.{alias.name}" for alias in node.names)
            case ast.Constant(value=str(text)) if named := _NAMED.fullmatch(text):
                names.add(named[1])
    return frozenset(names)


def _given(module: str) -> Path:
    if file := getattr(sys.modules.get(module), "__file__", None):  # a script that runs as `__main__` has no other
        return Path(file)
    if found := _file(module):
        return found
    raise ModuleNotFoundError(f"no source of the module '{module}'", name=module)


def _file(module: str) -> Path | None:
    """Where a module is, found without importing the packages that it lies in; None if there is none."""
    top, *parts = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        return None
    if not parts:
        return Path(spec.origin) if spec.has_location and spec.origin else None
    for folder in spec.submodule_search_locations or ():
        path = Path(folder, *parts)
        for file in (path / "__init__.py", *(path.with_name(path.name + ending) for ending in _ENDINGS)):
            if file.is_file():
                return file
    return None


def _lies_in(module: str, packages: Collection[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _top(module: str) -> str:
    return module.partition(".")[0]
