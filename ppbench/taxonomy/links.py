"""A link of each class that devices have, and what it makes of the schemes of a results folder."""

from __future__ import annotations

from collections.abc import Sequence

from ppbench.modelled.link_cost import LinkCost, link_cost, load_link
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
    for row in rows:
        if row.group.measured and row.job.config.get("link") is None and (cost := link_cost(row.job, link)):
            costs[row.name] = cost
    return LinkPanel(
        title=f"{kind}: {link.title}",
        radio_j={row: cost.energy_j_per_sample for row, cost in costs.items() if cost.feasible},
        infeasible={row: cost.reason for row, cost in costs.items() if not cost.feasible},
        bytes_carried={
            text: link.goodput_up_bit_per_s * link.duty_cycle * seconds / 8 for text, seconds in _TIMES_S.items()
        },
    )
