"""modelled.csv: what each calibrated job would cost a participant on each device and link; never measured there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ppbench.launch.link import Link
from ppbench.modelled.device_cost import Estimate, device_cost, is_calibrated
from ppbench.modelled.devices import Device, devices
from ppbench.modelled.inputs import Once
from ppbench.modelled.link_cost import link_cost, links, once_cost
from ppbench.records import JobRecord, write_file


def write_modelled(jobs: Sequence[JobRecord], results_dir: Path) -> list[Path]:
    """Write one row per calibrated job, device and link, and return the path; nothing if there is no such job."""
    found = [job for job in jobs if job.status == "ok" and is_calibrated(job) and not job.provenance.machines]
    if not found:
        return []
    all_devices, all_links = devices(), links()
    rows = [
        {**of_device, **of_link}
        for job in found
        for of_device, of_link in itertools.product(
            [_device_columns(job, device) for device in all_devices], [_link_columns(job, link) for link in all_links]
        )
    ]
    path = results_dir / "modelled.csv"
    write_file(path, pd.DataFrame(rows).to_csv(index=False).encode())
    return [path]


def _device_columns(job: JobRecord, device: Device) -> dict[str, Any]:
    cost = device_cost(job, device)
    return {
        "scheme": job.scheme,
        "variant": job.variant,
        "dataset": job.dataset,
        "model": job.model,
        "batch_size": job.config["task"]["batch_size"],
        "seed": job.seed,
        "device": device.name,
        "feasible": cost.feasible,
        "reason": cost.reason,
        **dict(_ends("modelled_online_s_per_sample", cost.online_s_per_sample)),
        **dict(_ends("modelled_offline_s_per_sample", cost.offline_s_per_sample)),
        **dict(_ends("modelled_setup_s", cost.setup_s)),
        **dict(_ends("modelled_train_s", cost.train_s)),
        **dict(_ends("modelled_compute_j_per_sample", cost.energy_j_per_sample)),
        **dict(_ends("modelled_compute_setup_j", cost.setup_j)),
        **dict(_ends("modelled_compute_train_j", cost.train_j)),
        "counted_ram_bytes": cost.ram_bytes,
        "counted_stored_ram_bytes": cost.stored_ram_bytes,
        "counted_flash_bytes": cost.flash_bytes,
        "measured_ram_bytes": cost.measured_ram_bytes,
    }


def _link_columns(job: JobRecord, link: Link) -> dict[str, Any]:
    cost = link_cost(job, link)
    return {
        "link": link.name,
        "link_feasible": cost and cost.feasible,
        "link_reason": cost and cost.reason,
        "modelled_link_s_per_sample": cost and cost.link_s_per_sample,
        "modelled_radio_j_per_sample": cost and cost.energy_j_per_sample,
        **dict(_once_columns(job, link, "setup")),
        **dict(_once_columns(job, link, "train")),
        "job": job.id,
    }


def _once_columns(job: JobRecord, link: Link, stage: Once) -> Iterator[tuple[str, Any]]:
    cost = once_cost(job, link, stage)
    yield f"modelled_link_{stage}_s", cost and cost.link_s
    yield f"modelled_radio_{stage}_j", cost and cost.energy_j
    yield f"link_{stage}_feasible", cost and cost.feasible
    yield f"link_{stage}_reason", cost and cost.reason


def _ends(column: str, estimate: Estimate | None) -> Iterator[tuple[str, float | None]]:
    for end, name in (("best", column), ("low", f"{column}_low"), ("high", f"{column}_high")):
        yield name, None if estimate is None else getattr(estimate, end)
