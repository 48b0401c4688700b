"""All tables and pictures of a results folder, and its page."""

from __future__ import annotations

from pathlib import Path

from ppbench.page.write import write_page
from ppbench.report.compute import compute_per_party
from ppbench.report.figures import accuracy_vs_bytes
from ppbench.report.groups import grouped
from ppbench.report.modelled_table import write_modelled
from ppbench.report.paper.comparison import write_paper_comparison
from ppbench.report.paper.figures import figure3, figure4
from ppbench.report.style import write_picture
from ppbench.report.summary import write_tables
from ppbench.report.sweeps import write_sweeps
from ppbench.report.training_curves import training_curves
from ppbench.store import read_all
from ppbench.taxonomy.write import write_taxonomy_report


def write_report(results_dir: Path) -> list[Path]:
    """Write them anew from the jobs' folders, each picture as PNG and SVG, for which the folder has the data.

    Returns the paths written. Raises PpbenchError if there are no results.
    """
    jobs = read_all(results_dir)
    groups = grouped(jobs)
    return [
        *write_tables(jobs, results_dir),
        *write_modelled(jobs, results_dir),
        *write_paper_comparison(groups, results_dir),
        *write_picture(lambda: accuracy_vs_bytes(groups), results_dir, "accuracy_vs_bytes"),
        *write_picture(lambda: compute_per_party(groups), results_dir, "compute_per_party"),
        *write_sweeps(groups, results_dir),
        *write_picture(lambda: training_curves(groups), results_dir, "training_curves"),
        *write_picture(lambda: figure3(groups, results_dir), results_dir, "figure3"),
        *write_picture(lambda: figure4(groups), results_dir, "figure4"),
        *write_taxonomy_report(groups, results_dir),
        *write_page(groups, results_dir),
    ]
