"""One row per job: medians over repetitions and processes. Units are in the names; empty means not measured.

`ppbench.load_summary` gives the table with its types. Of summary.csv, pandas alone would make NaN of the default
variant, which is empty, and of a name such as None or NA. Where there is nothing but the file:

    pd.read_csv("summary.csv", keep_default_na=False, na_values=dict.fromkeys(NUMBERS, ""), dtype={"job": str})
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ppbench.records import JobRecord, tidy_csv, write_file
from ppbench.scheme import COORDINATOR, PARTICIPANT
from ppbench.selection import THIRD_PARTY, Selection

PUBLISHED = "published_"
"""How the metrics begin, and so the columns, of what a scheme says that its published results are worth."""


class _Measured:
    """A job and its records, by what they are asked for."""

    def __init__(self, job: JobRecord) -> None:
        self.job = job
        self.select = Selection(job.records)
        self.one, self.median, self.middle = self.select.one, self.select.median, self.select.middle
        self.task, self.measure = job.config["task"], job.config["measure"]
        self.n_samples = self.one("job", "n_samples")
        # Fewer than samples, where participants dropped out.
        self.n_answers = self.median("online", "n_answers") or self.n_samples

    def per_sample(self, value: float | None) -> float | None:
        return None if value is None or not self.n_answers else value / self.n_answers

    def per_participant(self, stage: str, metric: str) -> float | None:
        return self.select.per_participant(stage, metric, self.task["n_participants"])

    def up(self, stage: str, level: str, peer: str | None = None) -> float | None:
        """Bytes that the participants sent."""
        return self.median(stage, f"{level}_bytes_sent", PARTICIPANT, peer)

    def n_dropped(self) -> int:
        """Participants that dropped out, of the process in which most did."""
        lost = collections.Counter(r.process for r in self.job.records if (r.stage, r.metric) == ("job", "dropped"))
        return max(lost.values(), default=0)

    def n_answered(self) -> int | None:
        """Answers of a pass; where participants dropped out between passes, of the median one or that below."""
        return None if (n := self.median("online", "n_answers")) is None else int(n)

    def answer(self, level: str) -> float | None:
        """Bytes that the coordinator sent to the participants."""
        return self.median("online", f"{level}_bytes_sent", COORDINATOR, PARTICIPANT)

    def cpu_s(self, stage: str, part: str) -> float | None:
        return self.median(stage, "cpu_s", part)

    def instructions(self, stage: str, part: str) -> float | None:
        return self.median(stage, "instructions", part)

    def bytes_source(self) -> str | None:
        counted = [r for r in self.job.records if r.training_round is None and r.metric.startswith("payload")]
        sources = {r.source for r in counted if r.source}
        return "+".join(sorted(sources)) or None


@dataclasses.dataclass(frozen=True)
class _Column:
    of: Callable[[_Measured], Any]
    kind: Literal["text", "count", "number"] = "number"
    always: bool = False
    """Whether a job has it that was not measured."""


def _text(of: Callable[[_Measured], Any]) -> _Column:
    return _Column(of, "text", always=True)


def _count(of: Callable[[_Measured], Any]) -> _Column:
    return _Column(of, "count", always=True)


_COLUMNS: dict[str, _Column] = {
    "scheme": _text(lambda m: m.job.scheme),
    "variant": _text(lambda m: m.job.variant),
    "dataset": _text(lambda m: m.job.dataset),
    "model": _text(lambda m: m.job.model),
    "task": _text(lambda m: m.job.task),
    "n_samples": _count(lambda m: m.task["n_samples"] if m.n_samples is None else m.n_samples),
    "n_train_samples": _Column(lambda m: m.one("job", "n_train_samples"), "count"),
    "n_participants": _count(lambda m: m.task["n_participants"]),
    "n_dropped": _Column(_Measured.n_dropped, "count"),
    "n_answers": _Column(_Measured.n_answered, "count"),
    "batch_size": _count(lambda m: m.task["batch_size"]),
    "seed": _count(lambda m: m.job.seed),
    "processes": _count(lambda m: m.measure["processes"]),
    "repetitions": _count(lambda m: m.measure["repetitions"]),
    "status": _text(lambda m: m.job.status),
    "reason": _text(lambda m: m.job.reason),
    "accuracy": _Column(lambda m: m.median("online", "accuracy")),
    "accuracy_plaintext": _Column(lambda m: m.one("job", "accuracy_plaintext")),
    "agreement": _Column(lambda m: m.median("online", "agreement")),
    "largest_logit_error": _Column(lambda m: m.median("online", "largest_logit_error")),
    "reconstruction_mse": _Column(lambda m: m.median("online", "reconstruction_mse")),
    "epsilon": _Column(lambda m: m.one("job", "epsilon")),
    "delta": _Column(lambda m: m.one("job", "delta")),
    "participant_cpu_s_per_sample": _Column(lambda m: m.per_sample(m.cpu_s("online", PARTICIPANT))),
    "coordinator_cpu_s_per_sample": _Column(lambda m: m.per_sample(m.cpu_s("online", COORDINATOR))),
    "third_party_cpu_s_per_sample": _Column(lambda m: m.per_sample(m.cpu_s("online", THIRD_PARTY))),
    "participant_instructions_per_sample": _Column(lambda m: m.per_sample(m.instructions("online", PARTICIPANT))),
    "coordinator_instructions_per_sample": _Column(lambda m: m.per_sample(m.instructions("online", COORDINATOR))),
    "third_party_instructions_per_sample": _Column(lambda m: m.per_sample(m.instructions("online", THIRD_PARTY))),
    "latency_s_per_batch": _Column(lambda m: m.middle("online", "latency_s")),
    "information_bytes_per_sample": _Column(lambda m: m.one("job", "information_bytes_per_sample")),
    "up_bytes_per_sample": _Column(lambda m: m.per_sample(m.up("online", "payload", COORDINATOR))),
    "down_bytes_per_sample": _Column(lambda m: m.per_sample(m.answer("payload"))),
    "up_message_bytes_per_sample": _Column(lambda m: m.per_sample(m.up("online", "message", COORDINATOR))),
    "down_message_bytes_per_sample": _Column(lambda m: m.per_sample(m.answer("message"))),
    "up_wire_bytes_per_sample": _Column(lambda m: m.per_sample(m.up("online", "wire", COORDINATOR))),
    "down_wire_bytes_per_sample": _Column(lambda m: m.per_sample(m.answer("wire"))),
    "third_party_bytes_per_sample": _Column(lambda m: m.per_sample(m.select.third_party_bytes("online"))),
    "engine_bytes_per_sample": _Column(lambda m: m.per_sample(m.median("online", "engine_bytes", PARTICIPANT))),
    "setup_up_bytes": _Column(lambda m: m.per_participant("setup", "payload_bytes_sent")),
    "setup_down_bytes": _Column(lambda m: m.per_participant("setup", "payload_bytes_received")),
    "setup_up_wire_bytes": _Column(lambda m: m.per_participant("setup", "wire_bytes_sent")),
    "setup_down_wire_bytes": _Column(lambda m: m.per_participant("setup", "wire_bytes_received")),
    "train_up_bytes": _Column(lambda m: m.per_participant("train", "payload_bytes_sent")),
    "train_down_bytes": _Column(lambda m: m.per_participant("train", "payload_bytes_received")),
    "rounds": _Column(lambda m: m.median("online", "rounds")),
    "setup_rounds": _Column(lambda m: m.select.steps("setup")),
    "train_rounds": _Column(lambda m: m.select.steps("train")),
    "n_training_rounds": _Column(lambda m: m.median("train", "training_rounds")),
    "messages": _Column(lambda m: m.median("online", "messages_sent")),
    "participant_peak_rss_bytes": _Column(lambda m: m.select.peak(PARTICIPANT)),
    "coordinator_peak_rss_bytes": _Column(lambda m: m.select.peak(COORDINATOR)),
    "participant_offline_cpu_s_per_sample": _Column(lambda m: m.per_sample(m.cpu_s("offline", PARTICIPANT))),
    "offline_bytes_per_sample": _Column(lambda m: m.per_sample(m.median("offline", "payload_bytes_sent"))),
    "participant_setup_cpu_s": _Column(lambda m: m.per_participant("setup", "cpu_s")),
    "coordinator_setup_cpu_s": _Column(lambda m: m.cpu_s("setup", COORDINATOR)),
    "participant_train_cpu_s": _Column(lambda m: m.per_participant("train", "cpu_s")),
    "coordinator_train_cpu_s": _Column(lambda m: m.cpu_s("train", COORDINATOR)),
    "participant_offline_instructions_per_sample": _Column(
        lambda m: m.per_sample(m.instructions("offline", PARTICIPANT))
    ),
    "participant_setup_instructions": _Column(lambda m: m.per_participant("setup", "instructions")),
    "coordinator_setup_instructions": _Column(lambda m: m.instructions("setup", COORDINATOR)),
    "participant_train_instructions": _Column(lambda m: m.per_participant("train", "instructions")),
    "coordinator_train_instructions": _Column(lambda m: m.instructions("train", COORDINATOR)),
    "prepare_cpu_s": _Column(lambda m: m.one("prepare", "cpu_s")),
    "model_cpu_s": _Column(lambda m: m.one("model", "cpu_s")),
    "model_macs_per_sample": _Column(lambda m: m.one("model", "macs_per_sample")),
    "bytes_source": _Column(_Measured.bytes_source, "text"),
    "job": _text(lambda m: m.job.id),
}

COLUMNS = tuple(_COLUMNS)
"""Of every summary; behind them comes a column for each metric `published_NAME` that some job has."""
NUMBERS = tuple(name for name, column in _COLUMNS.items() if column.kind != "text")
"""Those of `COLUMNS` that hold numbers; counts are integers."""
_PANDAS = {"count": "Int64", "number": "float64"}


def summary(jobs: Sequence[JobRecord]) -> pd.DataFrame:
    """One row per job, with `COLUMNS` and what was published.

    Counts are `Int64`, other numbers `float64`, and what was not measured is missing; texts are `str`, where an empty
    one is empty and never missing.
    """
    metrics = {r.metric for job in jobs if job.status == "ok" for r in job.records if r.stage == "job"}
    published = sorted(metric for metric in metrics if metric.startswith(PUBLISHED))
    columns = _COLUMNS | {metric: _Column(_middle_of(metric)) for metric in published}
    table = pd.DataFrame([_row(_Measured(job), columns) for job in jobs], columns=list(columns))
    for name, column in columns.items():
        if column.kind == "text":
            table[name] = table[name].astype(object).fillna("").astype("str")
    return table.astype({name: _PANDAS[column.kind] for name, column in columns.items() if column.kind != "text"})


def _middle_of(metric: str) -> Callable[[_Measured], Any]:
    return lambda measured: measured.middle("job", metric)


def _row(measured: _Measured, columns: dict[str, _Column]) -> dict[str, Any]:
    is_measured = measured.job.status == "ok"
    return {name: column.of(measured) for name, column in columns.items() if is_measured or column.always}


def write_tables(jobs: Sequence[JobRecord], results_dir: Path) -> tuple[Path, Path]:
    """Write summary.csv and records.csv of all jobs; returns both paths.

    Raises PpbenchError if a file cannot be written.
    """
    paths = results_dir / "summary.csv", results_dir / "records.csv"
    write_file(paths[0], summary(jobs).to_csv(index=False).encode())
    write_file(paths[1], tidy_csv(jobs))
    return paths
