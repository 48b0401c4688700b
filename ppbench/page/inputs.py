"""What the page computes a scheme's costs from, and what the formulas have for constants."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from ppbench import profiles
from ppbench.errors import UnavailableError
from ppbench.launch.link import PACKET_HEADER_BYTES, PAYLOAD_BYTES
from ppbench.modelled.device_cost import ASSUMPTION_FACTOR, CANNOT, FLOAT_BYTES
from ppbench.modelled.inputs import KERNELS, batch_inputs, compute_inputs, once_load
from ppbench.modelled.link_cost import FEASIBLE_ONCE_S, FEASIBLE_S_PER_SAMPLE
from ppbench.records import JobRecord
from ppbench.scheme import COORDINATOR, PARTICIPANT
from ppbench.selection import THIRD_PARTY, Selection

CONSTANTS: dict[str, Any] = {
    "assumption": profiles.ASSUMPTION,
    "assumption_factor": ASSUMPTION_FACTOR,
    "float_bytes": FLOAT_BYTES,
    "kernels": KERNELS,
    "cannot": CANNOT,
    "packet_header_bytes": PACKET_HEADER_BYTES,
    "payload_bytes": PAYLOAD_BYTES,
    "feasible_s_per_sample": FEASIBLE_S_PER_SAMPLE,
    "feasible_once_s": FEASIBLE_ONCE_S,
}
"""Of the models, as the scripts read them."""
_PAYLOAD = ("payload_bytes_sent", "payload_bytes_received")


def model_inputs(job: JobRecord) -> dict[str, Any]:
    """What `useCost` in `static/use.js` takes of a measured job."""
    try:
        compute, why_not = dataclasses.asdict(compute_inputs(job)), ""
    except UnavailableError as error:
        compute, why_not = None, str(error).removeprefix(f"{job.folder} ")
    batches = batch_inputs(job)
    loads = {stage: once_load(job, stage) for stage in ("setup", "train")}
    select = Selection(job.records)
    n_answers = select.median("online", "n_answers") or select.one("job", "n_samples") or 1.0

    def per_sample(stages: Sequence[str], metrics: Sequence[str], *parts: str) -> float:
        found = (select.median(stage, metric, part) for stage in stages for metric in metrics for part in parts)
        return sum(value or 0.0 for value in found) / n_answers

    return {
        "compute": compute,
        "why_no_compute": why_not,
        "batches": None if batches is None else dataclasses.asdict(batches),
        **{stage: None if load is None else dataclasses.asdict(load) for stage, load in loads.items()},
        "others_cpu_s_per_sample": per_sample(("offline", "online"), ("cpu_s",), COORDINATOR, THIRD_PARTY),
        "payload_bytes_per_sample": per_sample(("offline", "online"), _PAYLOAD, PARTICIPANT),
        "offline_payload_bytes_per_sample": per_sample(("offline",), _PAYLOAD, PARTICIPANT),
        "trained_with_bytes": any(select.median("train", metric, PARTICIPANT) for metric in _PAYLOAD),
    }
