"""The paper's figures 3 and 4, drawn from what was measured."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ppbench.bundle import Array
from ppbench.records import JobRecord
from ppbench.report.groups import Group, task_title
from ppbench.report.paper.comparison import OBFNET2_ACCURACY, papers_name, view
from ppbench.report.style import (
    DARK_GREY,
    GREY,
    SMALL_PT,
    WIDTH_IN,
    add_caption,
    caption_height,
    new_figure,
    text_width,
)
from ppbench.scheme import COORDINATOR

_N_SAMPLES = 10
_MAX_ROWS = 8
_MAX_NUMBERS = 12
_LABEL_CHARACTERS = 22
_BLUE, _ORANGE = "#0072B2", "#D55E00"


def figure3(groups: Sequence[Group], results_dir: Path) -> Figure | None:
    """What the coordinator receives of the same test samples: the originals, and behind each ObfNet.

    Drawn from the views that jobs with measure.view_batches kept, for the first data set with both.
    """
    for original in groups:
        if original.scheme == "plaintext" and original.measured:
            clear = _samples(results_dir, original.measured[0])
            rows = [] if clear is None else _obfuscated_rows(groups, original, clear.shape, results_dir)
            if clear is not None and rows:
                return _draw_samples([("original", clear), *rows], original.task[0])
    return None


def figure4(groups: Sequence[Group]) -> Figure | None:
    """The accuracy behind each of several ObfNets that differ by their seed alone."""
    several = [group for group in groups if group.scheme == "obfnet" and len(_by_seed(group)) > 1]
    if not several:
        return None
    group = max(several, key=lambda group: (len(_by_seed(group)), papers_name(group.jobs[0]) == "ObfNet2"))
    accuracies = _by_seed(group)
    mean, plaintext = float(np.mean(list(accuracies.values()))), 100 * group.values("accuracy_plaintext")[0]
    levels = {
        f"{group.jobs[0].model} on clear samples": (plaintext, DARK_GREY, "-"),
        f"mean of {len(accuracies)}": (mean, _BLUE, "--"),
    }
    if papers_name(group.jobs[0]) == "ObfNet2" and group.task == ("mnist", "lenet"):
        levels["mean of 10 in the paper"] = (100 * OBFNET2_ACCURACY, _ORANGE, ":")
    name = papers_name(group.jobs[0]) or group.label
    caption = (
        f"Accuracy of {group.jobs[0].model} on samples that were obfuscated by {name}-x, x being the seed that it was "
        "trained from. The axis does not begin at zero."
    )
    figure = new_figure(3.2 + caption_height(caption))
    height = figure.get_figheight()
    axes = figure.add_axes((0.75 / WIDTH_IN, (height - 2.65) / height, (WIDTH_IN - 2.55) / WIDTH_IN, 2.3 / height))
    axes.set_title(task_title([group]))
    _draw_seeds(axes, name, accuracies, levels)
    add_caption(figure, caption)
    return figure


def _by_seed(group: Group) -> dict[int, float]:
    seeds, accuracies = group.values("seed"), group.values("accuracy")
    return dict(sorted((int(seed), 100 * value) for seed, value in zip(seeds, accuracies, strict=True)))


def _draw_seeds(axes: Axes, name: str, accuracies: dict[int, float], levels: dict[str, tuple[float, str, str]]) -> None:
    places = range(len(accuracies))
    for value, colour, dashes in levels.values():
        axes.axhline(value, color=colour, linestyle=dashes, linewidth=1.2, zorder=1)
    axes.plot(places, list(accuracies.values()), "o", color=_BLUE, markersize=6, zorder=3)
    if len(accuracies) <= _MAX_NUMBERS:
        _write_values(axes, list(accuracies.values()))
    values = [*accuracies.values(), *(level for level, _, _ in levels.values())]
    margin = max(0.15 * (max(values) - min(values)), 0.05)
    axes.set_ylim(min(values) - margin, max(values) + 1.5 * margin)
    axes.set_xlim(-0.6, len(accuracies) - 0.4)
    axes.set_xticks(places, [str(seed) for seed in accuracies])
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel(f"x of {name}-x")
    axes.set_ylabel("accuracy (%)")
    _name_levels(axes, levels)


def _write_values(axes: Axes, values: Sequence[float]) -> None:
    """Each beside its marker, on the side away from the line of their mean."""
    box: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
    place: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "center", "bbox": box}
    for x, value in enumerate(values):
        aside = (0, 11 if value >= np.mean(values) else -11)
        axes.annotate(f"{value:.2f}", (x, value), aside, fontsize=SMALL_PT, zorder=2, **place)


def _name_levels(axes: Axes, levels: dict[str, tuple[float, str, str]]) -> None:
    """Beside the axes, moved apart where lines are near each other."""
    bottom, top = axes.get_ylim()
    least = (top - bottom) * 0.13
    y = -math.inf
    for text, (value, colour, _) in sorted(levels.items(), key=lambda item: item[1][0]):
        y = max(value, y + least)
        line: dict[str, Any] = {"arrowstyle": "-", "color": colour, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
        axes.annotate(
            f"{text}\n{value:.2f} %",
            (1, value),
            (1.04, y),
            xycoords=("axes fraction", "data"),
            textcoords=("axes fraction", "data"),
            arrowprops={**line, "relpos": (0, 0.5)},
            va="center",
            fontsize=SMALL_PT,
            color=colour,
            annotation_clip=False,
        )


def _samples(results_dir: Path, job: JobRecord) -> Array | None:
    """(10, d): the first samples that reached the coordinator, as it received them; None if no view was kept."""
    # With several participants a batch does not begin with the same test samples everywhere.
    if job.config["task"]["n_participants"] > 1:
        return None
    for message in view(results_dir, job, COORDINATOR):
        samples: Array = message["arrays"][0]
        if message["name"] == "samples" and samples.ndim == 2 and len(samples) >= _N_SAMPLES:
            return samples[:_N_SAMPLES] if math.isqrt(samples.shape[1]) ** 2 == samples.shape[1] else None
    return None


def _obfuscated_rows(
    groups: Sequence[Group], original: Group, shape: tuple[int, ...], results_dir: Path
) -> list[tuple[str, Array]]:
    """One per ObfNet variant: its first seed of which a view was kept."""
    rows = []
    for group in groups:
        if group.scheme == "obfnet" and group.task == original.task:
            for job in sorted(group.measured, key=lambda job: job.seed):
                samples = _samples(results_dir, job)
                if samples is not None and samples.shape == shape and samples.dtype.kind == "f":
                    rows.append((_row_name(group, job), samples))
                    break
    return sorted(rows, key=lambda row: row[0])[: _MAX_ROWS - 1]


def _row_name(group: Group, job: JobRecord) -> str:
    name = papers_name(job)
    return f"ObfNet2-{job.seed}" if name == "ObfNet2" else name or group.label


def _draw_samples(rows: Sequence[tuple[str, Array]], dataset: str) -> Figure:
    caption = (
        f"The first {_N_SAMPLES} test samples of {dataset} as the coordinator receives them. Black is the largest "
        "value of a row, white is zero. That the eye does not recognise a sample does not mean that it cannot be "
        "reconstructed."
    )
    names = [f"{textwrap.fill(name, _LABEL_CHARACTERS)}\n0 to {samples.max():.3g}" for name, samples in rows]
    left_in = max(text_width(new_figure(1), name) for name in names) + 0.25
    pitch_in = (WIDTH_IN - left_in - 0.1) / _N_SAMPLES
    figure = new_figure(len(rows) * pitch_in + caption_height(caption) + 0.15)
    for row, (name, (_, samples)) in enumerate(zip(names, rows, strict=True)):
        bottom = (figure.get_figheight() - 0.1 - (row + 1) * pitch_in) / figure.get_figheight()
        middle = bottom + pitch_in / 2 / figure.get_figheight()
        figure.text(0.1 / WIDTH_IN, middle, name, va="center", fontsize=SMALL_PT)
        for column, sample in enumerate(samples):
            left = (left_in + column * pitch_in) / WIDTH_IN
            _draw_sample(figure, left, bottom, pitch_in * 0.95, sample, float(samples.max()))
    add_caption(figure, caption)
    return figure


def _draw_sample(figure: Figure, left: float, bottom: float, side_in: float, sample: Array, largest: float) -> None:
    axes = figure.add_axes((left, bottom, side_in / WIDTH_IN, side_in / figure.get_figheight()))
    pixels = math.isqrt(len(sample))
    axes.imshow(sample.reshape(pixels, pixels), cmap="gray_r", vmin=0, vmax=largest, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color=GREY, linewidth=0.5)
