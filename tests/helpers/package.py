"""A stranger's package, as an installer would leave it on the path."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path


def write_package(
    folder: Path, name: str, sources: Mapping[str, str], entry_points: Mapping[str, str], version: str = "1.0"
) -> None:
    """File -> source, and group -> the line that declares a plugin; what was there of another version goes."""
    for path in folder.glob(f"{name}-*.dist-info"):
        shutil.rmtree(path)
    (folder / name).mkdir(parents=True, exist_ok=True)
    for file, source in sources.items():
        (folder / name / file).write_text(source)
    described = folder / f"{name}-{version}.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups = (f"[{group}]\n{line}\n" for group, line in entry_points.items())
    (described / "entry_points.txt").write_text("".join(groups))
