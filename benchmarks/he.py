"""CryptoNets' latency packing against TenSEAL's tutorial: each step of one image, in one process on one core.

    python benchmarks/he.py [--images 200] [--baseline-images 20]

Network, security level and machine are the same for both engines, and their images take turns, so that both see the
same minutes of the machine. Writes to results/benchmarks: he_latency.csv (a row for each engine, step and image),
he_latency_quality.csv (accuracy, errors) and he_latency.png.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ppbench.bundle import Array
from ppbench.data.mnist import Mnist
from ppbench.he import seal
from ppbench.measure import provenance
from ppbench.measure.load import trained
from ppbench.measure.machine import cpu
from ppbench.models.network import Network
from ppbench.models.square import SquareTutorial
from ppbench.process import n_cpus
from ppbench.progress import silent
from ppbench.scheme import TaskFacts
from schemes.cryptonets import CryptoNets
from schemes.cryptonets.layout import HIDDEN

T = TypeVar("T")

ENGINES = {"tenseal": "TenSEAL as in its tutorial 4", "sealapi": "SEAL, packed by hand"}
SECURITY = {"tenseal": "standard_2018", "sealapi": "guidelines_2024"}
"""The table of parameters that each keeps to: the tutorial's are older, and a little below 128 bits."""
COLOURS = {"tenseal": "#D55E00", "sealapi": "#0072B2"}
HATCHES = {"tenseal": "///", "sealapi": ""}
LINK_BIT_PER_S = 20e6
ONCE = {"make keys": "make keys", "upload keys": "upload keys*", "load keys": "load keys, encode weights"}
STEPS = {
    "encrypt": "encode, encrypt",
    "upload": "upload*",
    "evaluate": "evaluate",
    "download": "download*",
    "decrypt": "decrypt, decode",
}


class Measured:
    """One engine with its keys, and what each of its steps took."""

    def __init__(self, engine: str, network: Network, facts: TaskFacts) -> None:
        scheme = CryptoNets(engine=engine, security=SECURITY[engine])
        module: Any = scheme.module
        module.check(scheme, network, facts)
        self.engine = engine
        self.rows: list[dict[str, Any]] = []
        self.logits: list[Array] = []
        self._largest_unused = 0.0
        self._n_classes = facts.n_classes
        self._client = self._timed("make keys", -1, module.Client, scheme, facts)
        keys = self._timed("make keys", -1, self._client.public_material)
        self._keep_size("upload keys", -1, keys)
        self._server = self._timed("load keys", -1, module.Server, scheme, network)
        self._timed("load keys", -1, self._server.load, keys)

    def answer(self, image: int, sample: Array) -> None:
        """One image there and back."""
        request = self._timed("encrypt", image, self._client.encrypt, sample[np.newaxis])
        self._keep_size("upload", image, request)
        result = self._timed("evaluate", image, self._server.evaluate, request)
        self._keep_size("download", image, result)
        self.logits.append(self._timed("decrypt", image, self._client.decrypt, result)[0])
        slots = np.reshape(self._client.slots(seal.split(result)[0]), (HIDDEN, -1))
        self._largest_unused = max(self._largest_unused, float(np.abs(slots[:, self._n_classes :]).max()))

    def quality(self, network: Network, samples: Array, labels: Array) -> pd.Series:
        """How the answers compare with those to the clear samples."""
        logits, clear = np.array(self.logits), network(samples[: len(self.logits)])
        right = labels[: len(logits)]
        return pd.Series(
            {
                "n_images": len(logits),
                "accuracy_clear": (clear.argmax(axis=1) == right).mean(),
                "accuracy_encrypted": (logits.argmax(axis=1) == right).mean(),
                "agreement": (logits.argmax(axis=1) == clear.argmax(axis=1)).mean(),
                "largest_logit": np.abs(clear).max(),
                "largest_logit_error": np.abs(logits - clear).max(),
                "largest_in_unused_slots": self._largest_unused,
            },
            name=self.engine,
        )

    def _timed(self, step: str, image: int, call: Callable[..., T], *arguments: Any) -> T:
        cpu, wall = time.process_time(), time.perf_counter()
        result = call(*arguments)
        spent = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
        self.rows.append({"engine": self.engine, "step": step, "image": image, **spent})
        return result

    def _keep_size(self, step: str, image: int, arrays: list[Array]) -> None:
        n_bytes = sum(array.nbytes for array in arrays)
        self.rows.append({"engine": self.engine, "step": step, "image": image, "bytes": n_bytes})


def measure(n_images: Mapping[str, int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Engine -> images to answer: every step as a row, and the quality of the answers."""
    dataset = Mnist().load()
    network = trained(SquareTutorial(), dataset.training, silent).network
    facts = TaskFacts("mnist", dataset.sample_shape, dataset.sample_max, dataset.n_classes, 1, 1, seed=0)
    samples, labels = facts.unit(dataset.test.samples), dataset.test.labels
    engines = [Measured(engine, network, facts) for engine in n_images]
    turns = sorted(((i + 0.5) / n_images[m.engine], i, m.engine) for m in engines for i in range(n_images[m.engine]))
    by_name = {measured.engine: measured for measured in engines}
    for _, image, engine in turns:
        by_name[engine].answer(image, samples[image])
    rows = pd.concat([pd.DataFrame(measured.rows) for measured in engines])
    return rows, pd.DataFrame([measured.quality(network, samples, labels) for measured in engines])


def compared(rows: pd.DataFrame) -> pd.DataFrame:
    """Each step's milliseconds (CPU; modelled on the link for transfers) and bytes, and TenSEAL's over ours."""
    totals = rows.groupby(["engine", "step", "image"])[["cpu_s", "bytes"]].sum(min_count=1)
    medians = totals.groupby(["step", "engine"]).median()
    ms = (medians.cpu_s * 1e3).fillna(medians.bytes * 8e3 / LINK_BIT_PER_S).unstack("engine")[list(ENGINES)]
    size = medians.bytes.unstack("engine")[list(ENGINES)]
    table = pd.concat({"ms": ms, "bytes": size}, axis=1).loc[[*STEPS, *ONCE]]
    table["ratio", ""] = ms.tenseal / ms.sealapi
    return table


def picture(table: pd.DataFrame, quality: pd.DataFrame) -> Figure:
    """What each image costs above, what is done once below."""
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[len(STEPS), len(ONCE)])
    _bars(upper, table, STEPS, "Each image")
    _bars(lower, table, ONCE, "Once for each participant")
    lower.set_xlim(0.1, table.ms.to_numpy().max() * 30)
    lower.set_xlabel(f"CPU milliseconds on one core, medians (* modelled: bytes at {LINK_BIT_PER_S / 1e6:.0f} Mbit/s)")
    counts = {engine: f"{ENGINES[engine]} (n = {int(quality.n_images[engine])})" for engine in ENGINES}
    figure.legend(*upper.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    for text, count in zip(figure.legends[0].get_texts(), counts.values(), strict=True):
        text.set_text(count)
    figure.suptitle("One encrypted MNIST image through the same network", fontsize=10)
    return figure


def _bars(axes: Axes, table: pd.DataFrame, steps: Mapping[str, str], title: str) -> None:
    places = np.arange(len(steps))
    for offset, engine in zip((-0.2, 0.2), ENGINES, strict=True):
        ms = table.loc[list(steps), ("ms", engine)]
        bars = axes.barh(
            places + offset, ms, 0.38, color=COLOURS[engine], hatch=HATCHES[engine], edgecolor="white", label=engine
        )
        axes.bar_label(bars, [_text(table, step, engine) for step in steps], padding=3, fontsize=8)
    axes.set_yticks(places, list(steps.values()))
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_title(title, loc="left", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _text(table: pd.DataFrame, step: str, engine: str) -> str:
    ms, n_bytes = (float(table.loc[step, (what, engine)]) for what in ("ms", "bytes"))  # type: ignore[arg-type]
    text = f"{ms:,.0f} ms" if ms >= 10 else f"{ms:.1f} ms"
    if n_bytes > 0:
        text += f", {n_bytes / 1e3:,.0f} kB"
    factor = float(table.loc[step, ("ratio", "")])  # type: ignore[arg-type]
    return text + (f"  ({factor:.3g}x less)" if engine == "sealapi" and factor > 1.05 else "")


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--baseline-images", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    parsed = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows, quality = measure({"sealapi": parsed.images, "tenseal": parsed.baseline_images})
    table = compared(rows)
    parsed.out.mkdir(parents=True, exist_ok=True)
    for name, kept in {
        "he_latency": rows.set_index("engine"),
        "he_latency_quality": quality.rename_axis("engine"),
    }.items():
        machine = kept.assign(cpu=cpu(), n_cpus=n_cpus(), commit=provenance.git_commit())
        machine.to_csv(parsed.out / f"{name}.csv", float_format="%.6g")
    with matplotlib.rc_context({"font.size": 9}):
        picture(table, quality).savefig(parsed.out / "he_latency.png", dpi=200)
    print(f"{table.round(2).to_string()}\n\n{quality.T.round(4).to_string()}")
    print(f"\nwrote he_latency.csv, he_latency_quality.csv and he_latency.png to {parsed.out}")


if __name__ == "__main__":
    main()
