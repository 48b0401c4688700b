"""What `ppbench compare` says of seconds: how often it finds a difference where there is none, and which it finds.

    python benchmarks/compare.py [--windows 10] [--processes 10] [--minutes 60] [--out results/benchmarks/compare.csv]

All is measured, by turns, and on this machine as it is. Of the same code: plaintext and ObfNet on digits, an image at a
time, in as many fresh sets of processes for either side, every other one for each; a comparison is one figure that is
long enough, and finds a difference, none, or that it cannot be told. Of slower code: a participant that multiplies so
many more matrices, against one that does not, by turns with it. Each window of such sets is compared by itself, and no
set is in two. One row for each slow-down: what it was meant to be, what the medians of all sets say that it was, and in
how many comparisons it was found. The table is written after each window.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ppbench.app.in_turn import together
from ppbench.compare.folders import compare
from ppbench.compare.judge import Comparison
from ppbench.data.digits import Digits
from ppbench.measure import experiment, provenance
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.measure.machine import cpu
from ppbench.models.mlp import Mlp
from ppbench.process import n_cpus
from ppbench.records import JobRecord
from ppbench.scheme import Scheme
from schemes.obfnet import ObfNet
from schemes.plaintext import Plaintext
from tests.helpers.known_work import KnownWork

SAME = (Plaintext(), ObfNet())
SAME_IN_A_WINDOW = 3
SLOW_DOWNS = (0.075, 0.1, 0.15, 0.2)
STEPS = 2000
WORK = "participant_cpu_s_per_sample"


@dataclasses.dataclass
class Found:
    """Of all comparisons of one kind."""

    verdicts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    n_windows: int = 0
    before_s: list[float] = dataclasses.field(default_factory=list)
    after_s: list[float] = dataclasses.field(default_factory=list)

    def add(self, comparisons: Sequence[Comparison]) -> None:
        self.verdicts.update(one.verdict for one in comparisons)
        self.n_windows += 1


def measure(scheme: Scheme, folder: Path, n_processes: int, batch_size: int) -> JobRecord:
    options = MeasureOptions(warmup_batches=1, repetitions=1, processes=n_processes, deadline_s=120)
    record = experiment.run(Job(scheme, Digits(), Mlp(), TaskOptions(batch_size=batch_size), options), folder)
    if record.status != "ok":
        raise SystemExit(f"{record.scheme}: {record.reason}")
    return record


def every_other(job: JobRecord, first: int) -> JobRecord:
    """What every other set of processes measured, as a job by itself."""
    kept = [r for r in job.records if r.process is None or r.process % 2 == first]
    return job.model_copy(update={"records": kept})


def in_seconds(before: Sequence[JobRecord], after: Sequence[JobRecord]) -> list[Comparison]:
    compared = compare(before, after, in_turn=True)
    # An interval has what is long enough, of enough processes.
    return [one for one in compared.comparisons if "s" in one.metric.split("_") and one.ratio_low is not None]


def same_code(folder: Path, n_processes: int) -> list[Comparison]:
    jobs = [measure(scheme, folder, 2 * n_processes, batch_size=1) for scheme in SAME]
    return in_seconds([every_other(job, 0) for job in jobs], [every_other(job, 1) for job in jobs])


def slower_code(folder: Path, n_processes: int) -> Iterator[tuple[float, JobRecord, JobRecord]]:
    """Slow-down, and the job without and with it."""
    jobs: dict[float, list[JobRecord]] = {share: [] for share in (0.0, *SLOW_DOWNS)}
    for _ in range(n_processes):
        for share, measured in jobs.items():
            measured.append(measure(KnownWork(round(STEPS * (1 + share))), folder, 1, batch_size=250))
    ((before,), *slowed) = (together(measured) for measured in jobs.values())
    for share, (after,) in zip(SLOW_DOWNS, slowed, strict=True):
        # As if the code had changed, and not an option.
        yield share, before, after.model_copy(update={"config": before.config, "variant": before.variant})


def cpu_s(job: JobRecord) -> list[float]:
    wanted = ("online", "cpu_s", "participant-0")
    return [r.value for r in job.records if (r.stage, r.metric, r.party) == wanted]


def windows(n_windows: int, n_processes: int, until_s: float) -> Iterator[Mapping[float, Found]]:
    """After each window, slow-down -> what was found of it so far; 0 is the same code."""
    found = {share: Found() for share in (0.0, *SLOW_DOWNS)}
    for _ in range(n_windows):
        if time.monotonic() > until_s:
            break
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(SAME_IN_A_WINDOW):
                found[0.0].add(same_code(Path(folder), n_processes))
            for share, before, after in slower_code(Path(folder), n_processes):
                found[share].add([one for one in in_seconds([before], [after]) if one.metric == WORK])
                found[share].before_s += cpu_s(before)
                found[share].after_s += cpu_s(after)
        yield found


def row(share: float, found: Found, n_processes: int) -> dict[str, object]:
    n = found.verdicts.total()
    slower = statistics.median(found.after_s) / statistics.median(found.before_s) - 1 if found.after_s else None
    return {
        "slow_down": share,
        "measured_slow_down": slower,
        "n_windows": found.n_windows,
        "processes_each": n_processes,
        "n_comparisons": n,
        "n_worse": found.verdicts["worse"],
        "n_better": found.verdicts["better"],
        "n_no_difference": found.verdicts["no difference"],
        "n_cannot_tell": found.verdicts["cannot tell"],
        "found_share": (found.verdicts["worse"] + found.verdicts["better"]) / n if n else None,
    }


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=10)
    parser.add_argument("--processes", type=int, default=10, help="of either side (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=60.0, help="after which no further window is begun")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/compare.csv"))
    parsed = parser.parse_args()
    machine: dict[str, Any] = {"cpu": cpu(), "n_cpus": n_cpus(), "commit": provenance.git_commit()}
    parsed.out.parent.mkdir(parents=True, exist_ok=True)
    for found in windows(parsed.windows, parsed.processes, time.monotonic() + 60 * parsed.minutes):
        table = pd.DataFrame([row(share, of, parsed.processes) for share, of in found.items()])
        # The longest that the kernel knows: fifteen minutes.
        table.assign(load_average=os.getloadavg()[2], **machine).to_csv(parsed.out, index=False)
        print(table.to_string(index=False), flush=True)
    print(f"wrote {parsed.out}; goals: at most 1 % found of the same code, and which slow-down is found in 9 of 10")


if __name__ == "__main__":
    main()
