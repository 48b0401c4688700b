"""All tables and pictures of a results folder, and its page."""

from __future__ import annotations

from pathlib import Path

from ppbench.page.write import write_page
from ppbench.report.compute import compute_per_party
from ppbench.report.costs import write_costs
from ppbench.report.figures import accuracy_vs_bytes
from ppbench.report.groups import grouped
from ppbench.report.modelled_table import write_modelled
from ppbench.report.old_layout import remove_replaced
from ppbench.report.paper.comparison import write_paper_comparison
from ppbench.report.paper.figures import figure3, figure4
from ppbench.report.style import FIGURES, write_picture
from ppbench.report.summary import write_tables
from ppbench.report.sweeps import write_sweeps
from ppbench.report.training_curves import training_curves
from ppbench.store import read_all
from ppbench.taxonomy.write import write_taxonomy_report


def write_report(results_dir: Path, pdf: bool = True) -> list[Path]:
    """Write them anew from the jobs' folders, as far as the folder has the data: data beside the jobs, tables and
    pictures in folders of their own. Without `pdf` only such PDFs are written as are there already.

    Returns the paths written. Raises PpbenchError if there are no results.
    """
    jobs = read_all(results_dir)
    groups = grouped(jobs)
    figures = results_dir / FIGURES
    written = [
        *write_tables(jobs, results_dir),
        *write_modelled(jobs, results_dir),
        *write_costs(groups, results_dir),
        *write_paper_comparison(groups, results_dir),
        *write_picture(lambda: accuracy_vs_bytes(groups), figures, "accuracy_vs_bytes", pdf),
        *write_picture(lambda: compute_per_party(groups), figures, "compute_per_party", pdf),
        *write_sweeps(groups, results_dir, pdf),
        *write_picture(lambda: training_curves(groups), figures, "training_curves", pdf),
        *write_picture(lambda: figure3(groups, results_dir), figures, "figure3", pdf),
        *write_picture(lambda: figure4(groups), figures, "figure4", pdf),
        *write_taxonomy_report(groups, results_dir, pdf),
        *write_page(groups, results_dir),
    ]
    remove_replaced(results_dir, written)
    return written
