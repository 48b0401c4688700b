"""Latency on a link: what the model says from an unshaped run, held against a link that is really shaped.

    python benchmarks/links.py [--out results] [--links LINK...] [--schemes SCHEME...]

Runs each scheme over namespaces without a link, then on each link, one image at a time, and writes
OUT/benchmarks/links.csv: modelled and measured latency of a batch, and the one over the other. Fast links come one
after the other; slow ones, on which a scheme's keys or networks travel for minutes and the machine waits, all at once.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from ppbench import store
from ppbench.errors import PpbenchError
from ppbench.measure import provenance
from ppbench.measure.machine import cpu
from ppbench.modelled.link_cost import link_cost, load_link
from ppbench.process import n_cpus
from ppbench.records import JobRecord
from ppbench.scheme import PARTICIPANT
from ppbench.selection import Selection

LINKS = ("wifi", "lte_m", "mbit_1_50ms")
SCHEMES = {
    "plaintext": ("scheme=plaintext",),
    "obfnet": ("scheme=obfnet",),
    "cryptonets": ("scheme=cryptonets", "model=square_tutorial"),
    "mpc, cryptonets": ("scheme=mpc", "model=cryptonets"),
    "mpc, lenet": ("scheme=mpc", "model=lenet"),
}
N_BATCHES, N_BATCHES_ON_SLOW = 30, 5
"""What takes milliseconds is told from a machine's noise by the median of more."""
FAST_BIT_PER_S = 5e6
"""A link of more than that takes milliseconds, and a machine to itself."""
GOAL = 0.15
"""How far the model may be from the shaped link."""
_ALWAYS = (
    "wire=namespaces",
    "task.batch_size=1",
    "measure.repetitions=1",
    "measure.calibrate=false",
)
_UNSHAPED = ""


def measured(schemes: Sequence[str], links: Sequence[str], folder: Path) -> dict[tuple[str, str], JobRecord]:
    """(scheme, link) -> its job; the link is empty for the unshaped run."""
    pairs = [(scheme, link) for scheme in schemes for link in (_UNSHAPED, *links)]
    slow = [(scheme, link) for scheme, link in pairs if link and not _is_fast(link)]
    jobs = {(scheme, link): _job(scheme, link, folder) for scheme, link in pairs if (scheme, link) not in slow}
    with ThreadPoolExecutor(max_workers=max(1, len(slow))) as pool:
        return jobs | dict(zip(slow, pool.map(lambda pair: _job(pair[0], pair[1], folder), slow), strict=True))


def compared(schemes: Sequence[str], links: Sequence[str], folder: Path) -> Iterator[dict[str, object]]:
    """A row for each scheme and link."""
    jobs = measured(schemes, links, folder)
    for scheme in schemes:
        unshaped = jobs[scheme, _UNSHAPED]
        for link in links:
            cost = link_cost(unshaped, load_link(link))
            assert cost is not None
            measured_s = _latency_s(jobs[scheme, link])
            yield {
                "scheme": scheme,
                "link": link,
                "rounds": Selection(unshaped.records).median("online", "rounds"),
                "up_bytes_per_batch": _per_batch(unshaped, "payload_bytes_sent"),
                "down_bytes_per_batch": _per_batch(unshaped, "payload_bytes_received"),
                "unshaped_latency_s": _latency_s(unshaped),
                "modelled_latency_s": cost.latency_s_per_batch,
                "measured_latency_s": measured_s,
                "modelled_over_measured": cost.latency_s_per_batch / measured_s,
            }


def _is_fast(link: str) -> bool:
    return load_link(link).goodput_up_bit_per_s > FAST_BIT_PER_S


def _job(scheme: str, link: str, folder: Path) -> JobRecord:
    """Measured by `ppbench run`, in a process of its own."""
    results_dir = folder / f"{scheme} {link}".replace(", ", "_").strip().replace(" ", "-")
    overrides = [*SCHEMES[scheme], *_ALWAYS, *([f"link={link}"] if link else []), f"results_dir={results_dir}"]
    overrides.append(f"task.n_samples={N_BATCHES if not link or _is_fast(link) else N_BATCHES_ON_SLOW}")
    run = subprocess.run([sys.executable, "-m", "ppbench.cli", "run", *overrides], capture_output=True, text=True)
    if run.returncode:
        raise PpbenchError(f"{' '.join(overrides)}: {run.stdout}{run.stderr}")
    (job,) = store.read_all(results_dir)
    print(f"measured {scheme} {link}", flush=True)
    return job


def _latency_s(job: JobRecord) -> float:
    latency_s = Selection(job.records).middle("online", "latency_s")
    assert latency_s is not None
    return latency_s


def _per_batch(job: JobRecord, metric: str) -> float:
    return (Selection(job.records).median("online", metric, PARTICIPANT) or 0.0) / N_BATCHES


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--links", nargs="+", default=LINKS, metavar="LINK")
    parser.add_argument("--schemes", nargs="+", default=tuple(SCHEMES), choices=SCHEMES, metavar="SCHEME")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ppbench-links-") as folder:
        table = pd.DataFrame(compared(parsed.schemes, parsed.links, Path(folder)))
    machine = table.assign(load_average=os.getloadavg()[0], cpu=cpu(), n_cpus=n_cpus(), commit=provenance.git_commit())
    path = parsed.out / "benchmarks" / "links.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    machine.to_csv(path, float_format="%.6g", index=False)
    print(table.to_string(index=False))
    missed = (table.modelled_over_measured - 1).abs() > GOAL
    print(f"{len(table) - missed.sum()} of {len(table)} within {GOAL:.0%}; wrote {path}")


if __name__ == "__main__":
    main()
