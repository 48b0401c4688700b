"""All tables and pictures of a results folder."""

from __future__ import annotations

from pathlib import Path

from ppbench.records import read_all
from ppbench.report.summary import write_tables


def write_report(results_dir: Path) -> list[Path]:
    """Write them anew from the jobs' folders; returns their paths. Raises PpbenchError if there are no results."""
    jobs = read_all(results_dir)
    return [*write_tables(jobs, results_dir)]
