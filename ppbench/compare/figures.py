"""What is compared of a job, and how each figure is to be judged."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator
from typing import Literal

import pandas as pd

from ppbench.errors import PpbenchError
from ppbench.records import JobRecord
from ppbench.registry import SCHEMES
from ppbench.report.summary import NUMBERS, summary

Kind = Literal["exact", "promised", "near", "instructions", "share", "measured"]
"""`exact`: the same on every machine; `promised`: the same but for `ROUNDING`; `near`: within `NEARLY`; `instructions`:
the same, as far as one tool counts them in one way; `share`: of samples, within the chance that lies in so many;
`measured`: with a machine's clocks and memory."""

Unit = Literal["share", "bytes", "s"]
"""What a column of the summary is in, where it is no plain number."""

ROUNDING = 1e-6
"""How far a bound on privacy may move: an accountant's sums end otherwise where another machine adds them up."""
NEARLY = 0.01
"""How far instructions may move, and bytes that the scheme's card does not call deterministic, or that the kernel adds
to a payload."""
HANDSHAKE_BYTES = 64
"""How far they may move in setup, where 1 % is less: CrypTen's ends tell each other where they are, in 2,409 to 2,441
bytes."""

_COUNTED = ("rounds", "setup_rounds", "train_rounds", "messages")
_PROMISED = ("epsilon", "delta")
_SHARES = ("accuracy",)
_OF_THE_SAMPLES = ("information_bytes_per_sample",)
"""What no scheme makes better or worse."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """One column of the summary, for one job: a value for each set of processes that measured it.

    What happened once for all of them, as the training of a model, has one value.
    """

    metric: str
    kind: Kind
    values: tuple[float, ...]
    n_answers: int
    """How many samples a pass answers."""

    @property
    def middle(self) -> float:
        """The median over processes."""
        return statistics.median(self.values)

    @property
    def is_time(self) -> bool:
        """Whether it is in seconds."""
        return "s" in self.metric.split("_")

    @property
    def in_a_pass(self) -> float:
        """The least that was measured before it was shared among samples."""
        return min(self.values) * (self.n_answers if self.metric.endswith("_per_sample") else 1)


def figures(job: JobRecord) -> Iterator[Figure]:
    """All figures of a measured job that are to be compared."""
    table, once = _by_process(job), _summary(job, None)
    bytes_kind: Kind = "exact" if _moves_the_same_bytes(job) else "near"
    n_answers = int(table["n_samples"].iloc[0]) if table["n_samples"].notna().any() else 0
    for metric in NUMBERS:
        kind = _kind(metric, bytes_kind)
        values = tuple(float(value) for value in (once if once[metric].notna().any() else table)[metric].dropna())
        if kind and values:
            yield Figure(metric, kind, values, n_answers)


def unit_of(metric: str) -> Unit | None:
    """The unit of a column, which its name has."""
    words = metric.split("_")
    if metric in _SHARES:
        return "share"
    return "bytes" if "bytes" in words else "s" if "s" in words else None


def _kind(metric: str, bytes_kind: Kind) -> Kind | None:
    words = metric.split("_")
    if metric in _COUNTED:
        return "exact"
    if metric in _PROMISED:
        return "promised"
    if "instructions" in words:
        return "instructions"
    match unit_of(metric):
        case "share":
            return "share"
        case "s":
            return "measured"
        case "bytes" if "rss" in words:
            return "measured"
        case "bytes" if metric not in _OF_THE_SAMPLES:
            # When TCP acknowledges is a matter of time.
            return "near" if "wire" in words else bytes_kind
    return None


def _by_process(job: JobRecord) -> pd.DataFrame:
    """The job's row of the summary, as each set of processes alone would have it."""
    processes = sorted({record.process for record in job.records if record.process is not None}) or [0]
    return pd.concat([_summary(job, process) for process in processes])


def _summary(job: JobRecord, process: int | None) -> pd.DataFrame:
    """The job's row from what one set of processes measured, and from what was measured once for all."""
    records = [record for record in job.records if record.process in (None, process)]
    return summary([job.model_copy(update={"records": records})])


def _moves_the_same_bytes(job: JobRecord) -> bool:
    """What its card says; a scheme that is not here promises nothing."""
    try:
        return SCHEMES.load(job.scheme).card.deterministic_bytes
    except PpbenchError:
        return False
