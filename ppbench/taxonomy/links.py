"""A link of each class that devices have, and what it makes of the schemes of a results folder."""

from __future__ import annotations

from collections.abc import Sequence

from ppbench.launch.link import Link
from ppbench.modelled.link_cost import LinkCost, link_cost, load_link, once_cost
from ppbench.records import JobRecord
from ppbench.taxonomy.plane import LinkPanel
from ppbench.taxonomy.rows import TaxonomyRow

_CLASSES = (("LPWAN", "lorawan_sf7"), ("short range", "ble_5"), ("cellular IoT", "lte_m"), ("WLAN", "wifi"))
"""Class -> the profile in conf/link/ that stands for it."""
_TIMES_S = {"1 s": 1, "1 min": 60, "1 h": 3600}


def link_panels(rows: Sequence[TaxonomyRow]) -> list[LinkPanel]:
    """Modelled from the first job of each row. A job that ran on a shaped link or answered nothing is in no panel."""
    return [_panel(kind, name, rows) for kind, name in _CLASSES]


def _panel(kind: str, name: str, rows: Sequence[TaxonomyRow]) -> LinkPanel:
    link = load_link(name)
    costs: dict[str, LinkCost] = {}
    infeasible: dict[str, str] = {}
    for row in rows:
        if row.group.measured and row.job.config.get("link") is None and (cost := link_cost(row.job, link)):
            costs[row.name] = cost
            if reason := cost.reason or _why_no_training(row.job, link):
                infeasible[row.name] = reason
    return LinkPanel(
        title=f"{kind}: {link.title}",
        radio_j={row: cost.energy_j_per_sample for row, cost in costs.items() if cost.feasible},
        infeasible=infeasible,
        bytes_carried={
            text: link.goodput_up_bit_per_s * link.duty_cycle * seconds / 8 for text, seconds in _TIMES_S.items()
        },
    )


def _why_no_training(job: JobRecord, link: Link) -> str:
    """Empty if the link carries it, or there is none."""
    training = once_cost(job, link, "train")
    return training.reason if training else ""
