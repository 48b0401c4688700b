"""How far instructions and CPU seconds of the same code lie apart, from one fresh set of processes to the next.

    python benchmarks/instructions.py [--processes 5] [--schemes NAME...] [--out results/benchmarks/instructions.csv]

Each light scheme on digits, counted by callgrind and timed without it. One row for each party and stage that executes
a million instructions: the medians, and the spreads, which are the largest over the smallest, less one. The goal is a
spread of instructions of at most 1 %, however busy the machine is; how busy it was, the load average says. A scheme
that fails under valgrind has a row with the reason.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ppbench.instructions.callgrind import Callgrind
from ppbench.measure import experiment, provenance
from ppbench.measure.job import Job
from ppbench.measure.machine import cpu
from ppbench.process import n_cpus
from ppbench.records import JobRecord

TWO = {"task": {"n_participants": 2}}
SCHEMES: dict[str, dict[str, dict[str, Any]]] = {
    "plaintext": {},
    "local": {},
    "obfnet": {},
    "additive_noise": {"scheme": {"epsilon": 1000.0}},
    "random_projection": {},
    "projection_training": TWO,
    "rotation": TWO,
    "local_dp_training": TWO,
    "dp_sgd": {"scheme": {"epsilon": 3.01}},
    "barni": {"scheme": {"engine": "paillier"}, "model": {"hidden": [8]}, "task": {"batch_size": 1, "n_samples": 1}},
    "mpc": {"task": {"batch_size": 16, "n_samples": 16}},
    "cryptonets": {
        "dataset": {"name": "digits_28"},
        "model": {"name": "square_tutorial"},
        "task": {"batch_size": 1, "n_samples": 1},
    },
}
"""Name -> sections of its job's configuration, beside the ones that all have."""
FEWEST = 1_000_000
"""Where fewer are executed there is no row; `ppbench compare` gates from ten times as many on."""
COMMON: dict[str, dict[str, Any]] = {
    "dataset": {"name": "digits"},
    "model": {"name": "mlp"},
    "measure": {"warmup_batches": 0, "repetitions": 1},
}


def measured(name: str, instructions: str, n_processes: int) -> JobRecord:
    sections: dict[str, dict[str, Any]] = {
        "scheme": {"name": name},
        "measure": {"instructions": instructions, "processes": n_processes},
    }
    config = {
        section: {**COMMON.get(section, {}), **sections.get(section, {}), **SCHEMES[name].get(section, {})}
        for section in ("scheme", "dataset", "model", "task", "measure")
    }
    with tempfile.TemporaryDirectory() as folder:
        return experiment.run(Job.from_config(config), Path(folder))


def values(job: JobRecord, metric: str) -> dict[tuple[str, str], list[float]]:
    """(party, stage) -> one value for each set of processes."""
    found: dict[tuple[str, str], list[float]] = {}
    for record in job.records:
        if record.metric == metric and record.party is not None and record.process is not None:
            found.setdefault((record.party, record.stage), []).append(record.value)
    return found


def spread(values: Sequence[float]) -> float:
    return max(values) / min(values) - 1


def rows(name: str, n_processes: int) -> Iterator[dict[str, object]]:
    counted, timed = (measured(name, how, n_processes) for how in (Callgrind.name, "none"))
    for job in (counted, timed):
        if job.status != "ok":
            yield {"scheme": name, "reason": job.reason}
            return
    cpu_s = values(timed, "cpu_s")
    for (party, stage), counts in values(counted, "instructions").items():
        if min(counts) >= FEWEST:
            yield {
                "scheme": name,
                "party": party,
                "stage": stage,
                "n_processes": len(counts),
                "instructions": statistics.median(counts),
                "instructions_spread": spread(counts),
                "cpu_s": statistics.median(cpu_s[party, stage]),
                "cpu_s_spread": spread(cpu_s[party, stage]),
                "load_average": os.getloadavg()[0],
            }


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--schemes", nargs="+", choices=SCHEMES, default=list(SCHEMES))
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/instructions.csv"))
    parsed = parser.parse_args()
    machine = {**Callgrind.versions(), "cpu": cpu(), "n_cpus": n_cpus(), "commit": provenance.git_commit()}
    parsed.out.parent.mkdir(parents=True, exist_ok=True)
    found: list[dict[str, object]] = []
    for name in parsed.schemes:
        found += (own := list(rows(name, parsed.processes)))
        print(pd.DataFrame(own).to_string(), flush=True)
        pd.DataFrame(found).assign(**machine).to_csv(parsed.out, index=False)
    spreads = pd.DataFrame(found, columns=["instructions_spread"]).instructions_spread
    print(f"wrote {parsed.out}: instructions are at most {spreads.max():.2%} apart")


if __name__ == "__main__":
    main()
