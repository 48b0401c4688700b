"""What was measured beside what the paper reports (Zheng et al., AIChallengeIoT'19, section 3.3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ppbench import bundle
from ppbench.party import participant_name
from ppbench.records import JobRecord, write_file
from ppbench.report.groups import Group
from ppbench.report.table import Table, number_columns, text_columns
from ppbench.report.table_files import write_table
from ppbench.scheme import COORDINATOR
from ppbench.units import NOT_MEASURED

LENET_ACCURACY = 0.9898
OBFNET2_ACCURACY = 0.9829
"""The mean of ten."""
N_TEST = 10_000
_MIB = 2**20

COLUMNS = ("quantity", "unit", "paper", "measured", "difference", "n", "min", "max")
_PAPERS_SCHEMES = ("plaintext", "local", "obfnet")
"""What a results folder about the paper holds."""
_NOTES = f"""\
n is the number of networks that a mean is over, each trained from its own seed; min and max are over them.
Learnable parameters are counted in what the participant received, and the volume is the TCP payload of that download,
the description of the layers included. The paper does not say which MB it means: 6.01 fits 2^20 bytes, so MiB are
compared. 615,440 values of 4 bytes are 2.35 MiB; how the paper stored them in 2.17 MB it does not say, nor how its
networks were trained. {NOT_MEASURED} stands for what was not measured in this results folder."""


def paper_comparison(groups: Sequence[Group], results_dir: Path) -> pd.DataFrame:
    """A row per figure of the paper, with `COLUMNS`.

    There are none without LeNet on all of MNIST, clear and obfuscated, or where other schemes than the paper's are.
    Parameters are counted in the participant's view, where `results_dir` holds it.
    """
    if any(group.scheme not in _PAPERS_SCHEMES for group in groups):
        return pd.DataFrame(columns=list(COLUMNS))
    groups = [group for group in groups if _is_papers_task(group)]
    lenet = next((group for group in groups if group.scheme == "plaintext"), None)
    obfnets = {number: _obfnets(groups, number) for number in (1, 2)}
    if lenet is None or not any(obfnets.values()):
        return pd.DataFrame(columns=list(COLUMNS))
    clear, obfuscated = _accuracies(lenet), _accuracies(obfnets[2])
    rows = [
        _Row("LeNet, accuracy", "%", 100 * LENET_ACCURACY, clear),
        _Row("ObfNet1, accuracy of LeNet behind it", "%", None, _accuracies(obfnets[1])),
        _Row("ObfNet2, mean accuracy of LeNet behind it", "%", 100 * OBFNET2_ACCURACY, obfuscated),
        _Row("ObfNet2, accuracy drop", "percentage points", 0.7, [clear[0] - value for value in obfuscated]),
        _Row("ObfNet1, learnable parameters", "1", 615_440, _parameters(obfnets[1], results_dir)),
        _Row("ObfNet2, learnable parameters", "1", 1_569_784, _parameters(obfnets[2], results_dir)),
        _Row("ObfNet1, volume", "MiB", 2.17, _volumes(obfnets[1])),
        _Row("ObfNet2, volume", "MiB", 6.01, _volumes(obfnets[2])),
    ]
    return pd.DataFrame([row.cells() for row in rows], columns=list(COLUMNS)).astype({"n": "Int64"})


def write_paper_comparison(groups: Sequence[Group], results_dir: Path) -> list[Path]:
    """Write paper_comparison.csv, and the table of it, if the groups allow it; returns the paths written."""
    comparison = paper_comparison(groups, results_dir)
    if comparison.empty:
        return []
    path = results_dir / "paper_comparison.csv"
    write_file(path, comparison.to_csv(index=False).encode())
    return [path, *write_table("paper_comparison", [_table(comparison)], results_dir)]


def _table(comparison: pd.DataFrame) -> Table:
    return Table(
        "The paper's figures, and what was measured",
        (*text_columns(*COLUMNS[:2]), *number_columns(*COLUMNS[2:])),
        tuple(
            tuple(_text(row[column], "1" if column == "n" else row["unit"]) for column in COLUMNS)
            for row in comparison.to_dict("records")
        ),
        notes=(_NOTES,),
    )


def papers_name(job: JobRecord) -> str | None:
    """`ObfNet1` or `ObfNet2` if the job measures one of these as the paper has them, else None."""
    options = job.config["scheme"]
    as_in_paper = (
        job.scheme == "obfnet"
        and options.get("pool_size") == 1
        and options.get("raw_fraction") == 0
        and options.get("encoding") == "float32"
    )
    names = {(): "ObfNet1", (1000,): "ObfNet2"}
    return names.get(tuple(options.get("hidden"))) if as_in_paper else None


def view(results_dir: Path, job: JobRecord, party: str) -> list[bundle.Tree]:
    """What a party received, message by message; nothing if the job kept no views."""
    path = results_dir / job.folder / "views" / f"{party}.npz"
    return list(bundle.load(path)) if path.exists() else []


@dataclasses.dataclass(frozen=True)
class _Row:
    quantity: str
    unit: str
    paper: float | None
    values: Sequence[float]

    def cells(self) -> dict[str, object]:
        measured = float(np.mean(self.values)) if len(self.values) else None
        spread = {"min": min(self.values), "max": max(self.values)} if len(self.values) > 1 else {}
        return {
            "quantity": self.quantity,
            "unit": self.unit,
            "paper": self.paper,
            "measured": measured,
            "difference": None if measured is None or self.paper is None else measured - self.paper,
            "n": len(self.values) or None,
            **spread,
        }


def _is_papers_task(group: Group) -> bool:
    return group.task == ("mnist", "lenet") and bool(group.measured) and group.median("n_samples") == N_TEST


def _obfnets(groups: Sequence[Group], number: int) -> Group | None:
    """The paper's ObfNet with this number, from most seeds if there are several groups."""
    named = [group for group in groups if papers_name(group.jobs[0]) == f"ObfNet{number}"]
    return max(named, key=lambda group: group.n_seeds, default=None)


def _accuracies(group: Group | None) -> list[float]:
    return [] if group is None else [100 * value for value in group.values("accuracy")]


def _volumes(group: Group | None) -> list[float]:
    return [] if group is None else [value / _MIB for value in group.values("setup_down_bytes")]


def _parameters(group: Group | None, results_dir: Path) -> list[float]:
    counts = [_n_received(view(results_dir, job, participant_name(0))) for job in (group.measured if group else ())]
    return [count for count in counts if count]


def _n_received(messages: Sequence[bundle.Tree]) -> float:
    """The number of weights and biases among what came from the coordinator: all that is floating-point."""
    sent = [message["arrays"] for message in messages if message["from"] == COORDINATOR]
    return float(sum(array.size for arrays in sent for array in arrays if array.dtype.kind == "f"))


def _text(value: object, unit: object) -> str:
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return NOT_MEASURED
    assert isinstance(value, int | float)
    return f"{value:,.0f}" if unit == "1" else f"{value:.2f}"
