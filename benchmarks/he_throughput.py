"""CryptoNets' packing, a pixel of many images per ciphertext: SEAL by residues beside TenSEAL's vectors, one core.

    python benchmarks/he_throughput.py [--n 4096] [--out results/benchmarks/he_throughput.csv]

Each engine's steps run in this process, one after another, and what is given is CPU time: the median of three runs,
for TenSEAL of one, which takes minutes and stands between the others. Goals at 4096 images: the server 10 times faster
than TenSEAL's (15 times is the target), at most 26 KB up per image, at least 99.5 % of the plaintext model's labels.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from ppbench.bundle import Array
from ppbench.data.dataset import Split
from ppbench.data.mnist import Mnist
from ppbench.measure import provenance
from ppbench.measure.job import Job, TaskOptions
from ppbench.measure.load import dataset_of, trained_task
from ppbench.measure.machine import cpu
from ppbench.models.square import CryptoNetsModel
from ppbench.process import environment
from ppbench.scheme import Task
from schemes.cryptonets import CryptoNets

T = TypeVar("T")
SEALAPI = CryptoNets(packing="throughput")
WITHOUT_KEYS = CryptoNets(packing="throughput", evaluation_keys=False)
TENSEAL = CryptoNets(packing="throughput", engine="tenseal")
MAX_IMAGES = {SEALAPI: 4096, WITHOUT_KEYS: 2048, TENSEAL: 4096}
ORDER = (SEALAPI, WITHOUT_KEYS, TENSEAL, SEALAPI, WITHOUT_KEYS, SEALAPI, WITHOUT_KEYS)


def timed(step: Callable[[], T]) -> tuple[T, float]:
    """What the step gives, and its CPU seconds."""
    start = time.process_time()
    result = step()
    return result, time.process_time() - start


def run(scheme: CryptoNets, task: Task, test: Split, n_images: int) -> dict[str, float]:
    """Both parties of one run, and how the answers compare with the plaintext model's."""
    packing, network = scheme.module, task.model.network
    scheme.check(task)
    samples = task.facts.unit(test.samples[:n_images])
    client, keys_s = timed(lambda: packing.Client(scheme, task.facts))
    keys = client.public_material()
    server = packing.Server(scheme, network)
    _, load_s = timed(lambda: server.load(keys))
    sent, encrypt_s = timed(lambda: client.encrypt(samples))
    returned, server_s = timed(lambda: server.evaluate(sent))
    logits, decrypt_s = timed(lambda: client.decrypt(returned))
    plain, labels = network(samples), test.labels[:n_images]
    return {
        "keys_s": keys_s,
        "load_keys_s": load_s,
        "encrypt_s": encrypt_s,
        "server_s": server_s,
        "decrypt_s": decrypt_s,
        "keys_B": n_bytes(keys),
        "up_B_per_image": n_bytes(sent) / n_images,
        "down_B_per_image": n_bytes(returned) / n_images,
        "accuracy": float((logits.argmax(axis=1) == labels).mean()),
        "agreement": float((logits.argmax(axis=1) == plain.argmax(axis=1)).mean()),
        "largest_logit": float(np.abs(plain).max()),
        "largest_logit_error": float(np.abs(logits - plain).max()),
    }


def n_bytes(arrays: list[Array]) -> int:
    return sum(array.nbytes for array in arrays)


def measure(n: int) -> pd.DataFrame:
    """One row per engine and kind of keys, medians over their runs."""
    # The batch decides no more than whether the checks pass.
    options = TaskOptions(n_samples=n, batch_size=min(n, *MAX_IMAGES.values()))
    job = Job(SEALAPI, Mnist(), CryptoNetsModel(), options)
    dataset = dataset_of(job)
    task = trained_task(job, dataset.training)
    rows = []
    for scheme in ORDER:
        n_images = min(n, MAX_IMAGES[scheme])
        row = run(scheme, task, dataset.test, n_images)
        print(f"{scheme.variant()}, {n_images} images: server {row['server_s']:.2f} s", flush=True)
        rows.append(
            {"engine": scheme.engine, "evaluation_keys": scheme.evaluation_keys, "n_images": n_images, "runs": 1, **row}
        )
    kinds = pd.DataFrame(rows).groupby(["engine", "evaluation_keys", "n_images"])
    table = kinds.median(numeric_only=True).assign(runs=kinds["runs"].sum()).reset_index()
    table["server_ms_per_image"] = table.server_s / table.n_images * 1000
    (baseline,) = table.server_ms_per_image[table.engine == "tenseal"]
    return table.assign(times_faster_per_image=baseline / table.server_ms_per_image)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=4096, help="images, at most 4096")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/he_throughput.csv"))
    parsed = parser.parse_args()
    one_thread = environment(threads=1)
    if any(os.environ.get(name) != value for name, value in one_thread.items() if name.endswith("_NUM_THREADS")):
        # BLAS reads it once, when numpy is imported.
        os.execve(sys.executable, [sys.executable, *sys.argv], one_thread)
    table = measure(parsed.n)
    print(table.T.to_string(header=False, float_format=lambda value: f"{value:.4g}"))
    versions = provenance.package_versions("numpy", "tenseal", "zstandard")
    table = table.assign(cpu=cpu(), commit=provenance.git_commit(), **versions)
    parsed.out.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(parsed.out, index=False)
    print(f"wrote {parsed.out}")


if __name__ == "__main__":
    main()
