"""What versions up to 0.3 wrote beside the data, where tables and pictures have folders of their own now."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from ppbench.errors import PpbenchError

_PICTURES = (
    "accuracy_vs_bytes",
    "accuracy_vs_options",
    "compute_per_party",
    "figure1",
    "figure3",
    "figure4",
    "reconstruction_vs_options",
    "released_error_vs_options",
    "taxonomy_energy",
    "taxonomy_plane",
    "training_curves",
)
_TABLES = ("claims", "overview", "paper_comparison", "taxonomy")
_NAMES = {*(f"{name}.{kind}" for name in _PICTURES for kind in ("png", "svg")), *(f"{name}.md" for name in _TABLES)}


def remove_replaced(results_dir: Path, written: Sequence[Path]) -> None:
    """Remove those of which a new one was written: stale, they would be taken for new ones. A line says so.

    Raises PpbenchError if a file cannot be removed.
    """
    old = [results_dir / path.name for path in written if path.parent != results_dir and path.name in _NAMES]
    found = [path for path in old if path.is_file()]
    for path in found:
        try:
            path.unlink()
        except OSError as error:
            raise PpbenchError(f"{path} cannot be removed: {error.strerror}") from error
    if found:
        names = ", ".join(sorted(path.name for path in found))
        logging.getLogger(__name__).warning("removed of an older version, written anew in folders below: %s", names)
