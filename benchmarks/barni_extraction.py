"""What a participant of Barni learns of the model from its own queries: LeNet on MNIST, engine ckks.

    python benchmarks/barni_extraction.py [--queries 2000] [--out results/benchmarks]

One job keeps the participant's view: of every linear layer the values that it encrypts and those that it decrypts.
From the first n of its images, least squares gives the layers, and these the stolen network, which is tested on the
test images that were no queries. Writes barni_extraction.csv (a row for each n and layer, and one for each n and the
network) and the picture beside it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, StrMethodFormatter

from ppbench import bundle
from ppbench.bundle import Array
from ppbench.data.dataset import Dataset, unit
from ppbench.data.mnist import Mnist
from ppbench.measure import experiment, provenance
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.measure.load import trained
from ppbench.measure.machine import cpu
from ppbench.models.lenet import LeNet
from ppbench.models.network import Network
from ppbench.process import environment
from ppbench.progress import silent
from ppbench.report import style
from schemes.barni import Barni
from schemes.barni.extraction import Recovered, observed, steal
from schemes.barni.linear import Geometry, LinearLayer
from schemes.barni.plan import split

N_QUERIES = (1, 2, 5, 10, 20, 50, 100, 200, 300, 400, 500, 1000, 2000)
BATCH_SIZE = 50
LAYERS = ("conv 1", "conv 2", "dense 1", "dense 2", "dense 3")
NETWORK = "network"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
MARKERS = ("o", "s", "^", "v", "P")
LABEL_SHIFTS_PT = (-3, -3, -3, -9, 3)
"""Upwards, so that the names of lines that end together do not overlap."""


def participant_view(n_queries: int) -> list[dict[str, Any]]:
    """What the participant of a real job received and decrypted for its first images."""
    task = TaskOptions(n_samples=n_queries, batch_size=BATCH_SIZE)
    n_batches = -(-n_queries // BATCH_SIZE)
    measure = MeasureOptions(repetitions=1, warmup_batches=0, view_batches=n_batches)
    with tempfile.TemporaryDirectory() as folder:
        record = experiment.run(Job(Barni(), Mnist(), LeNet(), task, measure), Path(folder))
        if record.status != "ok":
            sys.exit(record.reason)
        view: list[dict[str, Any]] = bundle.load(Path(folder) / record.folder / "views" / "participant-0.npz")
        return view


def measure(n_most: int) -> pd.DataFrame:
    """For each number of queries, every layer and the network that they make."""
    dataset = Mnist().load()
    network = trained(LeNet(), dataset.training, silent).network
    view = participant_view(n_most)
    plan, pairs = observed(view)
    live = [_live(exchange.linear, inputs) for exchange, (inputs, _) in zip(plan.exchanges, pairs, strict=True)]
    rows: list[dict[str, Any]] = []
    for n in (n for n in N_QUERIES if n <= n_most):
        stolen, recovered = steal(view, n)
        rows += [{"queries": n, **row} for row in _layers(network, recovered, live)]
        rows.append({"queries": n, "layer": NETWORK, **_quality(network, stolen, dataset, n_most)})
        print(f"{n} queries: {rows[-1]['agreement']:.2%} of the model's labels", flush=True)
    return pd.DataFrame(rows)


def _layers(network: Network, recovered: list[Recovered], live: list[Array]) -> Iterator[dict[str, Any]]:
    _, layers = split(network)
    for name, layer, found, in_use in zip(LAYERS, layers, recovered, live, strict=True):
        yield {
            "layer": name,
            "unknowns": layer.geometry.windows.shape[1] + 1,
            "live_unknowns": int(in_use.sum()) + 1,
            "equations": found.n_equations,
            "rank": found.rank,
            "relative_weight_error": _distance(layer, found.layer, np.full_like(in_use, True)),
            "relative_live_weight_error": _distance(layer, found.layer, in_use),
        }


def _live(geometry: Geometry, inputs: Array) -> Array:
    """Which weights of an output map ever meet an input that is not 0."""
    lit: Array = np.zeros(geometry.n_inputs + 1, np.bool_)
    lit[:-1] = inputs.any(axis=0)
    live: Array = np.asarray(lit[geometry.windows].any(axis=0))
    return live


def _distance(layer: LinearLayer, found: LinearLayer, which: Array) -> float:
    true, other = (np.column_stack([x.weight.reshape(len(x.bias), -1)[:, which], x.bias]) for x in (layer, found))
    return float(np.linalg.norm(other - true) / np.linalg.norm(true))


def _quality(network: Network, stolen: Network, dataset: Dataset, n_seen: int) -> dict[str, float]:
    samples, labels = unit(dataset.test.samples[n_seen:], dataset.sample_max), dataset.test.labels[n_seen:]
    answers, true_answers = stolen(samples).argmax(axis=1), network(samples).argmax(axis=1)
    return {
        "test_images": len(samples),
        "agreement": float((answers == true_answers).mean()),
        "accuracy": float((answers == labels).mean()),
        "accuracy_of_model": float((true_answers == labels).mean()),
    }


def picture(table: pd.DataFrame) -> Figure:
    """Weights on the left, answers on the right."""
    text = (
        "What an honest-but-curious participant of Barni et al. learns of LeNet on MNIST from its own queries alone, "
        "by least squares on what it encrypts and decrypts. Left: distance of each layer to the true one, over its "
        "norm, without the weights of inputs that were 0 for all images. Right: labels of the network made of "
        f"these layers that are the model's, on the {int(table.test_images.max()):,} test images that were no queries."
    )
    height = 3.4
    figure = style.new_figure(height)
    left, right = figure.subplots(1, 2)
    bottom = (0.5 + style.caption_height(text)) / height
    figure.subplots_adjust(left=0.09, right=0.97, top=0.91, wspace=0.28, bottom=bottom)
    _weights(left, table)
    _answers(right, table[table.layer == NETWORK])
    for axes in (left, right):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.set_xlabel("images that were queried")
        axes.grid(axis="y", color=style.SHADE)
    style.add_caption(figure, text)
    return figure


def _weights(axes: Axes, table: pd.DataFrame) -> None:
    for name, colour, marker, shift in zip(LAYERS, COLOURS, MARKERS, LABEL_SHIFTS_PT, strict=True):
        rows = table[table.layer == name]
        error = rows.relative_live_weight_error
        axes.plot(rows.queries, error, color=colour, marker=marker, markersize=4)
        last = (float(rows.queries.iloc[-1]), float(error.iloc[-1]))
        axes.annotate(name, last, (6, shift), textcoords="offset points", fontsize=style.SMALL_PT, color=colour)
    axes.set_yscale("log")
    axes.set_xlim(0.8, 6 * table.queries.max())
    axes.set_title("Error of the stolen weights")


def _answers(axes: Axes, table: pd.DataFrame) -> None:
    axes.plot(table.queries, table.agreement, color=COLOURS[0], marker="o", markersize=4)
    for _, row in table[table.queries.isin([10, 100])].iterrows():
        text = f"{row.agreement:.1%}"
        axes.annotate(text, (row.queries, row.agreement), (4, -12), textcoords="offset points", fontsize=style.SMALL_PT)
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_title("Agreement with the model")


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=max(N_QUERIES), help="images of the largest view")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    parsed = parser.parse_args()
    one_thread = environment(threads=1)
    if any(os.environ.get(name) != value for name, value in one_thread.items() if name.endswith("_NUM_THREADS")):
        # BLAS reads it once, when numpy is imported.
        os.execve(sys.executable, [sys.executable, *sys.argv], one_thread)
    table = measure(parsed.queries)
    parsed.out.mkdir(parents=True, exist_ok=True)
    versions = provenance.package_versions("numpy", "tenseal")
    kept = table.assign(cpu=cpu(), commit=provenance.git_commit(), **versions)
    kept.to_csv(parsed.out / "barni_extraction.csv", index=False, float_format="%.5g")
    paths = style.write_picture(lambda: picture(table), parsed.out, "barni_extraction")
    print(
        table.drop(columns=["equations", "test_images", "accuracy_of_model"]).to_string(
            index=False, na_rep="", float_format=lambda value: f"{value:.4g}"
        )
    )
    print(f"wrote barni_extraction.csv, {', '.join(path.name for path in paths)} to {parsed.out}")


if __name__ == "__main__":
    main()
