"""One row per job: medians over repetitions and processes. Units are in the names; empty means not measured.

`ppbench.load_summary` gives the table with its types. Of summary.csv, pandas alone would make NaN of the default
variant, which is empty, and of a name such as None or NA. Where there is nothing but the file:

    pd.read_csv("summary.csv", keep_default_na=False, na_values=dict.fromkeys(NUMBERS, ""), dtype={"job": str})
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ppbench.records import JobRecord, tidy_csv, write_file
from ppbench.scheme import COORDINATOR, PARTICIPANT
from ppbench.selection import THIRD_PARTY, Selection

COLUMNS = (
    "scheme",
    "variant",
    "dataset",
    "model",
    "task",
    "n_samples",
    "n_train_samples",
    "n_participants",
    "batch_size",
    "seed",
    "processes",
    "repetitions",
    "status",
    "reason",
    "accuracy",
    "accuracy_plaintext",
    "agreement",
    "largest_logit_error",
    "reconstruction_mse",
    "released_mean_absolute_error",
    "epsilon",
    "delta",
    "participant_cpu_s_per_sample",
    "coordinator_cpu_s_per_sample",
    "third_party_cpu_s_per_sample",
    "latency_s_per_batch",
    "up_bytes_per_sample",
    "down_bytes_per_sample",
    "up_message_bytes_per_sample",
    "down_message_bytes_per_sample",
    "up_wire_bytes_per_sample",
    "down_wire_bytes_per_sample",
    "third_party_bytes_per_sample",
    "engine_bytes_per_sample",
    "setup_up_bytes",
    "setup_down_bytes",
    "setup_up_wire_bytes",
    "setup_down_wire_bytes",
    "train_up_bytes",
    "train_down_bytes",
    "rounds",
    "participant_peak_rss_bytes",
    "coordinator_peak_rss_bytes",
    "participant_offline_cpu_s_per_sample",
    "offline_bytes_per_sample",
    "participant_setup_cpu_s",
    "coordinator_setup_cpu_s",
    "participant_train_cpu_s",
    "coordinator_train_cpu_s",
    "prepare_cpu_s",
    "model_cpu_s",
    "model_macs_per_sample",
    "bytes_source",
    "job",
)

_TEXTS = ("scheme", "variant", "dataset", "model", "task", "status", "reason", "bytes_source", "job")
_COUNTS = (
    "n_samples",
    "n_train_samples",
    "n_participants",
    "batch_size",
    "seed",
    "processes",
    "repetitions",
)
NUMBERS = tuple(column for column in COLUMNS if column not in _TEXTS)
"""The columns that hold numbers; counts are integers."""


def summary(jobs: Sequence[JobRecord]) -> pd.DataFrame:
    """One row per job, with `COLUMNS`.

    Counts are `Int64`, other numbers `float64`, and what was not measured is missing; texts are `str`, where an empty
    one is empty and never missing.
    """
    table = pd.DataFrame([_row(job) for job in jobs], columns=list(COLUMNS))
    types = {column: "Int64" if column in _COUNTS else "float64" for column in NUMBERS}
    for column in _TEXTS:
        table[column] = table[column].astype(object).fillna("").astype("str")
    return table.astype(types)


def write_tables(jobs: Sequence[JobRecord], results_dir: Path) -> tuple[Path, Path]:
    """Write summary.csv and records.csv of all jobs; returns both paths.

    Raises PpbenchError if a file cannot be written.
    """
    paths = results_dir / "summary.csv", results_dir / "records.csv"
    write_file(paths[0], summary(jobs).to_csv(index=False).encode())
    write_file(paths[1], tidy_csv(jobs))
    return paths


def _row(job: JobRecord) -> dict[str, Any]:
    task, measure = job.config["task"], job.config["measure"]
    row: dict[str, Any] = {
        "scheme": job.scheme,
        "variant": job.variant,
        "dataset": job.dataset,
        "model": job.model,
        "task": job.task,
        "n_samples": task["n_samples"],
        "n_participants": task["n_participants"],
        "batch_size": task["batch_size"],
        "seed": job.seed,
        "processes": measure["processes"],
        "repetitions": measure["repetitions"],
        "status": job.status,
        "reason": job.reason,
        "job": job.id,
    }
    return row | _measured(job, task["n_participants"]) if job.status == "ok" else row


def _measured(job: JobRecord, n_participants: int) -> dict[str, Any]:
    select = Selection(job.records)
    n_samples = select.one("job", "n_samples")
    n_answers = select.median("online", "n_answers") or n_samples  # fewer, where participants dropped out

    def per_sample(value: float | None) -> float | None:
        return None if value is None or not n_answers else value / n_answers

    def per_participant(value: float | None) -> float | None:
        return None if value is None else value / n_participants

    def traffic(stage: str, level: str, sender: str, receiver: str | None) -> float | None:
        return select.median(stage, f"{level}_bytes_sent", sender, receiver)

    sources = {r.source for r in job.records if r.source and r.metric.startswith("payload")}
    setup_up = traffic("setup", "payload", PARTICIPANT, None)
    setup_down = select.median("setup", "payload_bytes_received", PARTICIPANT)
    return {
        "n_samples": n_samples,
        "n_train_samples": select.one("job", "n_train_samples"),
        "accuracy": select.median("online", "accuracy"),
        "accuracy_plaintext": select.one("job", "accuracy_plaintext"),
        "agreement": select.median("online", "agreement"),
        "largest_logit_error": select.median("online", "largest_logit_error"),
        "reconstruction_mse": select.median("online", "reconstruction_mse"),
        "released_mean_absolute_error": select.middle("job", "published_mean_absolute_error"),
        "epsilon": select.one("job", "epsilon"),
        "delta": select.one("job", "delta"),
        "participant_cpu_s_per_sample": per_sample(select.median("online", "cpu_s", PARTICIPANT)),
        "coordinator_cpu_s_per_sample": per_sample(select.median("online", "cpu_s", COORDINATOR)),
        "third_party_cpu_s_per_sample": per_sample(select.median("online", "cpu_s", THIRD_PARTY)),
        "latency_s_per_batch": select.middle("online", "latency_s"),
        "up_bytes_per_sample": per_sample(traffic("online", "payload", PARTICIPANT, COORDINATOR)),
        "down_bytes_per_sample": per_sample(traffic("online", "payload", COORDINATOR, PARTICIPANT)),
        "up_message_bytes_per_sample": per_sample(traffic("online", "message", PARTICIPANT, COORDINATOR)),
        "down_message_bytes_per_sample": per_sample(traffic("online", "message", COORDINATOR, PARTICIPANT)),
        "up_wire_bytes_per_sample": per_sample(traffic("online", "wire", PARTICIPANT, COORDINATOR)),
        "down_wire_bytes_per_sample": per_sample(traffic("online", "wire", COORDINATOR, PARTICIPANT)),
        "third_party_bytes_per_sample": per_sample(select.third_party_bytes("online")),
        "engine_bytes_per_sample": per_sample(select.median("online", "engine_bytes", PARTICIPANT)),
        "setup_up_bytes": per_participant(setup_up),
        "setup_down_bytes": per_participant(setup_down),
        "setup_up_wire_bytes": per_participant(traffic("setup", "wire", PARTICIPANT, None)),
        "setup_down_wire_bytes": per_participant(select.median("setup", "wire_bytes_received", PARTICIPANT)),
        "train_up_bytes": per_participant(traffic("train", "payload", PARTICIPANT, None)),
        "train_down_bytes": per_participant(select.median("train", "payload_bytes_received", PARTICIPANT)),
        "rounds": select.median("online", "rounds"),
        "participant_peak_rss_bytes": select.peak(PARTICIPANT),
        "coordinator_peak_rss_bytes": select.peak(COORDINATOR),
        "participant_offline_cpu_s_per_sample": per_sample(select.median("offline", "cpu_s", PARTICIPANT)),
        "offline_bytes_per_sample": per_sample(select.median("offline", "payload_bytes_sent")),
        "participant_setup_cpu_s": per_participant(select.median("setup", "cpu_s", PARTICIPANT)),
        "coordinator_setup_cpu_s": select.median("setup", "cpu_s", COORDINATOR),
        "participant_train_cpu_s": per_participant(select.median("train", "cpu_s", PARTICIPANT)),
        "coordinator_train_cpu_s": select.median("train", "cpu_s", COORDINATOR),
        "prepare_cpu_s": select.one("prepare", "cpu_s"),
        "model_cpu_s": select.one("model", "cpu_s"),
        "model_macs_per_sample": select.one("model", "macs_per_sample"),
        "bytes_source": "+".join(sorted(sources)) or None,
    }
