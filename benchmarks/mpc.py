"""Multi-party computation: our protocols, CrypTen as it comes and SecretFlow SPU on the same images, in one run.

    python benchmarks/mpc.py [--out results]

Runs the experiment `mpc` into OUT/mpc, or takes what it holds, and writes OUT/benchmarks/mpc.csv and mpc.png: bytes
and rounds between participant and coordinator, latency, the dealer's bytes, and how many times CrypTen takes as much.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

import ppbench
from ppbench import units
from ppbench.measure import provenance
from ppbench.measure.machine import cpu
from ppbench.process import n_cpus
from ppbench.report.style import SMALL_PT, write_picture

ENGINES = {
    "": ("ours", "#0072B2"),
    "engine=stock": ("CrypTen", "#D55E00"),
    "engine=spu": ("SPU, SEMI2K", "#009E73"),
    "engine=spu,protocol=cheetah": ("SPU, CHEETAH", "#CC79A7"),
}
"""Variant -> how it is called, and its colour."""
KEYS = ["model", "batch_size"]


def compared(summary: pd.DataFrame) -> pd.DataFrame:
    """A row for each variant, network and batch size; what CrypTen takes, over what the row takes."""
    jobs = summary[summary.status == "ok"].fillna({"variant": ""})
    table = jobs[[*KEYS, "variant", "n_samples", "accuracy", "agreement", "largest_logit_error", "rounds"]].assign(
        bytes_per_image=jobs.up_bytes_per_sample + jobs.down_bytes_per_sample,
        up_bytes_per_image=jobs.up_bytes_per_sample,
        engine_bytes_per_image=jobs.engine_bytes_per_sample,
        dealer_online_bytes_per_image=jobs.third_party_bytes_per_sample,
        offline_bytes_per_image=jobs.offline_bytes_per_sample,
        setup_bytes=jobs.setup_up_bytes + jobs.setup_down_bytes,
        latency_s_per_image=jobs.latency_s_per_batch / jobs.batch_size,
        participant_cpu_s_per_image=jobs.participant_cpu_s_per_sample,
        participant_peak_rss_bytes=jobs.participant_peak_rss_bytes,
    )
    stock = table[table.variant == "engine=stock"].set_index(KEYS)
    for metric in ("bytes_per_image", "rounds", "latency_s_per_image"):
        baseline = stock[metric].reindex(pd.MultiIndex.from_frame(table[KEYS])).to_numpy()
        table[f"crypten_over_{metric}"] = baseline / table[metric]
    return table.sort_values([*KEYS, "bytes_per_image"]).reset_index(drop=True)


def picture(table: pd.DataFrame) -> Figure:
    """Bytes and latency of each engine, a group of bars for each network and batch size."""
    shown = table[table.variant.isin(ENGINES)].set_index([*KEYS, "variant"]).sort_index()
    groups = [index[:2] for index in shown.index if index[2] == "engine=stock"]
    figure = Figure(figsize=(7, 1.1 + 1.05 * len(groups)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    height = 0.8 / len(ENGINES)
    for place, (variant, (label, colour)) in enumerate(ENGINES.items()):
        at = [i + (place - (len(ENGINES) - 1) / 2) * height for i in range(len(groups))]
        rows = shown.reindex([(*group, variant) for group in groups])
        measured = rows.rounds.notna()
        sizes = [f"{units.size(row.bytes_per_image)}, {row.rounds:.0f} rounds" for _, row in rows[measured].iterrows()]
        seconds = [units.seconds(value) for value in rows.latency_s_per_image[measured]]
        for axes, metric, texts in ((left, "bytes_per_image", sizes), (right, "latency_s_per_image", seconds)):
            places = [place for place, shows in zip(at, measured, strict=True) if shows]
            bars = axes.barh(places, rows[metric][measured], height * 0.9, color=colour, label=label)
            axes.bar_label(bars, texts, padding=3, fontsize=SMALL_PT - 1)
    left.set_title("Between both parties, for each image")
    right.set_title("Latency, for each image")
    left.set_yticks(range(len(groups)), [f"{model}\nbatch of {batch_size}" for model, batch_size in groups])
    left.invert_yaxis()
    for axes, formatted in ((left, units.size), (right, units.seconds)):
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        axes.set_xlim(low, high * 60)
        axes.xaxis.set_major_formatter(lambda value, _, formatted=formatted: units.tick(formatted(value)))
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parsed = parser.parse_args()
    table = compared(ppbench.run("+experiment=mpc", results_dir=str(parsed.out / "mpc")))
    folder = parsed.out / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    machine = table.assign(cpu=cpu(), n_cpus=n_cpus(), commit=provenance.git_commit())
    machine.to_csv(folder / "mpc.csv", float_format="%.6g", index=False)
    write_picture(lambda: picture(table), folder, "mpc")
    print(table.T.to_string())
    print(f"wrote mpc.csv and mpc.png to {folder}")


if __name__ == "__main__":
    main()
