"""The overhead taxonomy of a results folder: tables, the paper's claims, and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ppbench.modelled.devices import load_device
from ppbench.report.groups import Group
from ppbench.report.style import FIGURES, write_picture
from ppbench.taxonomy.claims import write_claims
from ppbench.taxonomy.energy import taxonomy_energy
from ppbench.taxonomy.links import link_panels
from ppbench.taxonomy.overview import write_overview
from ppbench.taxonomy.plane import taxonomy_plane
from ppbench.taxonomy.rows import TaxonomyRow, taxonomy_rows
from ppbench.taxonomy.table import write_taxonomy
from ppbench.taxonomy.thresholds import Thresholds, load_thresholds
from ppbench.taxonomy.tree import taxonomy_tree


def write_taxonomy_report(groups: Sequence[Group], results_dir: Path, pdf: bool = True) -> list[Path]:
    """Write all of it and return the paths; nothing unless some scheme beside the baselines can be labelled.

    For that its job must be calibrated (`measure.calibrate`), and where bytes are set against plaintext's, plaintext be
    there in batches of the same size.
    """
    thresholds = load_thresholds()
    device = load_device(thresholds.reference_device)
    rows = taxonomy_rows(groups, thresholds, device)
    if not any(_is_labelled(row, thresholds) for row in rows):
        return []
    panels = link_panels(rows)
    figures = results_dir / FIGURES
    return [
        *write_overview(rows, thresholds, results_dir),
        *write_taxonomy(rows, thresholds, device, results_dir),
        *write_claims(rows, thresholds, results_dir),
        *write_picture(lambda: taxonomy_tree(rows, thresholds, device), figures, "figure1", pdf),
        *write_picture(lambda: taxonomy_plane(rows, panels, thresholds, device), figures, "taxonomy_plane", pdf),
        *write_picture(lambda: taxonomy_energy(rows, panels, device), figures, "taxonomy_energy", pdf),
    ]


def _is_labelled(row: TaxonomyRow, thresholds: Thresholds) -> bool:
    # What is not known of older jobs is said in the table, not by leaving it out.
    told = row.communication is not None or thresholds.reference == "information"
    return not row.group.is_baseline and row.device_s_per_sample is not None and told
