"""Where tables lie that people read: `tables/NAME.md`, and `tables/NAME.tex` for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ppbench.records import make_folder, write_file
from ppbench.report.latex import latex
from ppbench.report.table import Table, markdown

TABLES = "tables"
"""The folder, in a results folder."""


def write_table(name: str, tables: Sequence[Table], results_dir: Path) -> list[Path]:
    """Write the tables below one another into both files, and return the paths.

    Raises PpbenchError if a file cannot be written.
    """
    folder = make_folder(results_dir, TABLES)
    paths = [folder / f"{name}.md", folder / f"{name}.tex"]
    write_file(paths[0], markdown(tables).encode())
    write_file(paths[1], latex(name, tables).encode())
    return paths
