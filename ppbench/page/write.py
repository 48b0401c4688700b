"""Puts data, styles and scripts together into one file that asks nobody for anything."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from ppbench.page.payload import as_json, payload
from ppbench.records import write_file
from ppbench.report.groups import Group

STATIC = Path(__file__).parent / "static"
MODEL = ("units.js", "device_cost.js", "link_cost.js", "use.js")
"""What is computed, without a browser."""
VIEW = (
    "elements.js",
    "choice.js",
    "columns.js",
    "comparison.js",
    "table.js",
    "scatter.js",
    "pareto.js",
    "tree.js",
    "plane.js",
    "claims.js",
    "sections.js",
    "page.js",
)
"""What is shown, in the order in which it is read."""


def write_page(groups: Sequence[Group], results_dir: Path) -> list[Path]:
    """Write report.html and return its path; nothing if nothing was measured."""
    if not any(group.measured for group in groups):
        return []
    path = results_dir / "report.html"
    write_file(path, page(groups, results_dir.resolve().name).encode())
    return [path]


def page(groups: Sequence[Group], folder: str) -> str:
    """The whole page."""
    parts = {
        "folder": html.escape(folder),
        "style": _static("style.css"),
        "data": as_json(payload(groups, folder)),
        "script": "\n".join(map(_static, MODEL + VIEW)),
    }
    head, *rest = _static("page.html").split("{{")
    filled = [head]
    for piece in rest:
        name, _, text = piece.partition("}}")
        filled += [parts[name], text]
    return "".join(filled)


def _static(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")
