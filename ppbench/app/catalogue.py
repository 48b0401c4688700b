"""`ppbench list`: everything that can be chosen, one line each, and whether it can run here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ppbench.app import config
from ppbench.errors import UnavailableError
from ppbench.launch.wires import WIRES
from ppbench.registry import REGISTRIES, Registry

_PROFILES = ("link", "device", "experiment")
"""What is chosen by configuration file alone."""


def print_catalogue() -> None:
    """Print all plugins, and the named choices that configuration files add."""
    console = Console(width=None if Console().is_terminal else 160)
    for registry in REGISTRIES:
        named = config.choices_of(registry.what).items()
        rows = [(name, told, config.why_not(registry, name) or "yes") for name, told in named]
        _print(console, registry.what, [*_plugins(registry), *rows])
    _print(console, WIRES.what, list(_plugins(WIRES)))
    for what in _PROFILES:
        _print(console, what, [(name, told, "") for name, told in config.choices_of(what).items()])


def _print(console: Console, what: str, rows: list[tuple[str, str, str]]) -> None:
    table = Table(title=f"{what}s", title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("what it is")
    table.add_column("runs here")
    for row in rows or [("(none yet)", "", "")]:
        table.add_row(*map(escape, row))
    console.print(table, "")


def _plugins(registry: Registry[Any]) -> Iterator[tuple[str, str, str]]:
    for name in registry.names():
        try:
            title = registry.load(name).title
        except UnavailableError:
            title = ""
        yield name, title, registry.why_not(name) or "yes"
