"""How much of the online stage is not the scheme's own: ObfNet on MNIST, batches of 256, from the records alone.

    python benchmarks/harness.py [--out results/benchmarks/harness.csv]

The goal is under 2 % for either party.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import pandas as pd

import ppbench
from ppbench.measure import provenance
from ppbench.measure.machine import cpu
from ppbench.process import n_cpus


def overhead(records: pd.DataFrame) -> pd.DataFrame:
    """Per party: median wall seconds of the online stage, of the scheme's code in it, and the share of the rest."""
    wanted = ["wall_s", "scheme_wall_s", "channel_cpu_s"]
    online = records[(records.stage == "online") & records.metric.isin(wanted)]
    passes = online.pivot_table(index=["party", "process", "repetition"], columns="metric", values="value")
    # A scheme's code calls the channel and waits in it; the channel's own work is the harness's.
    passes["outside_share"] = (passes.wall_s - passes.scheme_wall_s + passes.channel_cpu_s) / passes.wall_s
    medians: pd.DataFrame = passes.groupby("party").median()
    return medians.assign(n_passes=passes.groupby("party").size())


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/harness.csv"))
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ppbench.run("scheme=obfnet", "task.batch_size=256", "measure.repetitions=7", results_dir=folder)
        table = overhead(ppbench.load_records(folder))
    table = table.assign(cpu=cpu(), n_cpus=n_cpus(), commit=provenance.git_commit())
    parsed.out.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(parsed.out)
    print(table.drop(columns=["cpu", "n_cpus", "commit"]).to_string())
    print(f"wrote {parsed.out}")


if __name__ == "__main__":
    main()
