"""What `ppbench report` takes over a large folder: copies of committed jobs, under other seeds.

    python benchmarks/report.py [--jobs 3000] [--of results/quickstart]

The goal is 10 s of CPU over 3,000 jobs.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from ppbench import records, store
from ppbench.cache import digest


def make(folder: Path, source: Path, n_jobs: int) -> int:
    """Write so many jobs; returns the number of their records."""
    jobs = store.read_all(source)
    n_records = 0
    for i in range(n_jobs):
        job = jobs[i % len(jobs)]
        seed = 1000 + i // len(jobs)
        config = {**job.config, "seed": seed}
        records.write(folder, job.model_copy(update={"id": digest(config), "seed": seed, "config": config}))
        n_records += len(job.records)
    return n_records


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=3000)
    parser.add_argument("--of", type=Path, default=Path("results/quickstart"))
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        n_records = make(Path(folder), parsed.of, parsed.jobs)
        subprocess.run([sys.executable, "-m", "ppbench.cli", "report", folder], check=True, capture_output=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{parsed.jobs:,} jobs with {n_records:,} records: ", end="")
    print(f"{used.ru_utime + used.ru_stime:.1f} s of CPU, {used.ru_maxrss / 1e3:.0f} MB at most")


if __name__ == "__main__":
    main()
