"""From measured numbers to the paper's labels, how firm each is, and whether and why it differs from the paper's."""

from __future__ import annotations

import dataclasses

from ppbench.measure.information import COMPRESSOR
from ppbench.scheme import Communication, Computation
from ppbench.taxonomy.thresholds import (
    COMPUTATION_LABELS,
    EXPANSION_LABELS,
    Borders,
    Expansion,
    Reference,
    Thresholds,
)

REFERENCE_BYTES: dict[Reference, str] = {
    "plaintext": "plaintext's bytes",
    "information": f"the bytes that {COMPRESSOR} makes of the samples",
}
"""In words."""


@dataclasses.dataclass(frozen=True)
class Overhead:
    """What one scheme costs a participant for one sample; None is what was not measured."""

    device_s_per_sample: float | None
    """Modelled, on the reference device."""
    times_random_projection: float | None
    """Measured CPU time over that of the cheapest random projection."""
    times_plain_inference: float | None
    """The same over that of the coordinator's model on the device."""
    misfit: str
    """Why the reference device cannot hold it, with need and limit; empty if it can."""
    rounds: float | None
    """One-way steps of a batch, or of training where it has more."""
    up_bytes_per_sample: float | None
    plaintext_up_bytes_per_sample: float | None
    """At the same level and batch size."""
    setup_bytes: float | None
    """What setup moves from and to one participant."""
    encoding: str = ""
    """How the scheme sends a value, where that is an option of it."""
    information_bytes_per_sample: float | None = None
    """What a lossless compressor needs, batch by batch; None: not recorded."""
    reference: Reference = "plaintext"
    """Which of the two bytes up are set against."""

    @property
    def reference_bytes_per_sample(self) -> float | None:
        """Those of the reference."""
        informed = self.reference == "information"
        return self.information_bytes_per_sample if informed else self.plaintext_up_bytes_per_sample

    @property
    def expansion(self) -> float | None:
        """Bytes up over the reference's."""
        return _ratio(self.up_bytes_per_sample, self.reference_bytes_per_sample)

    @property
    def times_plaintext(self) -> float | None:
        """Bytes up over plaintext's, whatever the reference."""
        return _ratio(self.up_bytes_per_sample, self.plaintext_up_bytes_per_sample)

    @property
    def times_information(self) -> float | None:
        """Bytes up over the compressor's, whatever the reference."""
        return _ratio(self.up_bytes_per_sample, self.information_bytes_per_sample)

    def amortised_expansion(self, n_samples: int) -> float | None:
        """The same with the bytes of setup, of both directions, spread over so many samples."""
        if self.up_bytes_per_sample is None:
            return None
        up = self.up_bytes_per_sample + (self.setup_bytes or 0.0) / n_samples
        return _ratio(up, self.reference_bytes_per_sample)


@dataclasses.dataclass(frozen=True)
class ComputationLabel:
    """How the participant's computation is to be called."""

    label: Computation
    alternatives: tuple[Computation, ...]
    """The labels with all thresholds divided and multiplied by the firmness factor, and itself; ascending."""
    by_time: Computation | None
    """The label that time alone gives; None if it was not measured."""
    by_memory: bool
    """Whether memory decided, and not time."""

    @property
    def firm(self) -> bool:
        """Whether the factor changes nothing."""
        return len(self.alternatives) == 1

    @property
    def text(self) -> str:
        """The label as in tables, such as "high (memory)"."""
        return f"{self.label} (memory)" if self.by_memory else self.label


@dataclasses.dataclass(frozen=True)
class CommunicationLabel:
    """How the communication is to be called, on both axes."""

    iterative: bool
    expansion: Expansion
    alternatives: tuple[Expansion, ...]
    """The labels with both thresholds farther from 1 and nearer to it by the firmness share, and itself; ascending."""

    @property
    def firm(self) -> bool:
        """Whether the share changes nothing; rounds are counted and need no such margin."""
        return len(self.alternatives) == 1

    @property
    def text(self) -> str:
        """The label as in tables, such as "iterative, swelling"."""
        return f"iterative, {self.expansion}" if self.iterative else self.expansion


def label_computation(overhead: Overhead, thresholds: Thresholds) -> ComputationLabel | None:
    """The label that the middle one of the criteria gives, unless memory overrides; None if nothing was measured."""
    factor = thresholds.firmness_factor
    rank, *others = (_middle_rank(overhead, thresholds, scale) for scale in (1.0, factor, 1 / factor))
    by_time = None if rank is None else COMPUTATION_LABELS[rank]
    if overhead.misfit:
        return ComputationLabel("high", ("high",), by_time, by_memory=True)
    if rank is None or by_time is None:
        return None
    found = sorted({rank, *(other for other in others if other is not None)})
    return ComputationLabel(by_time, tuple(COMPUTATION_LABELS[i] for i in found), by_time, by_memory=False)


def label_expansion(expansion: float, thresholds: Thresholds) -> Expansion:
    """The label of bytes up over the reference's."""
    return EXPANSION_LABELS[thresholds.expansion.rank(expansion)]


def label_communication(overhead: Overhead, thresholds: Thresholds) -> CommunicationLabel | None:
    """The labels of rounds and expansion; None if either was not measured."""
    expansion = overhead.expansion
    if expansion is None or overhead.rounds is None:
        return None
    shares = (0.0, thresholds.firmness_share, -thresholds.firmness_share)
    ranks = sorted({thresholds.expansion.around(1.0, 1 + share).rank(expansion) for share in shares})
    return CommunicationLabel(
        overhead.rounds > thresholds.iterative_above_rounds,
        label_expansion(expansion, thresholds),
        tuple(EXPANSION_LABELS[rank] for rank in ranks),
    )


def computation_agrees(label: ComputationLabel | None, papers: Computation | None) -> bool | None:
    """Whether the paper says the same; None where one of the two says nothing."""
    return None if label is None or papers is None else label.label == papers


def communication_agrees(label: CommunicationLabel | None, papers: Communication | None) -> bool | None:
    """Whether the paper says the same on the axis that it speaks of; None where one of the two says nothing.

    The paper gives one label where we measure two axes: what it calls iterative may swell as well, but what it says
    to retain or compress must not be iterative.
    """
    if label is None or papers is None:
        return None
    if papers == "iterative":
        return label.iterative
    if papers == "swelling":
        return label.expansion == "swelling"
    return not label.iterative and label.expansion != "swelling"


def computation_reason(overhead: Overhead, label: ComputationLabel, papers: Computation) -> str:
    """Why the label is not the paper's, in measured numbers."""
    if label.by_memory:
        return overhead.misfit
    return computation_in_numbers(overhead, not_millions=papers == "high")


def computation_in_numbers(overhead: Overhead, not_millions: bool = False) -> str:
    """The criteria's values in words, the ratio to a random projection first."""
    measured = [
        f"{_times(value)} {what}"
        for value, what in (
            (overhead.times_random_projection, "a random projection"),
            (overhead.times_plain_inference, "a plain inference"),
        )
        if value is not None
    ]
    if overhead.device_s_per_sample is not None:
        measured.append(f"{overhead.device_s_per_sample:.3g} s on the reference device")
    if not_millions and overhead.times_random_projection is not None:
        measured[0] += ", not millions"
    return "; ".join(measured)


def communication_reason(overhead: Overhead, label: CommunicationLabel, papers: Communication) -> str:
    """Why the label is not the paper's, in measured numbers."""
    parts = []
    if papers != "swelling" and label.iterative != (papers == "iterative"):
        parts.append(f"{overhead.rounds:g} rounds")
    if papers != "iterative" and (label.expansion == "swelling") != (papers == "swelling"):
        sender = f"{overhead.encoding} sends" if overhead.encoding else "sends"
        parts.append(f"{sender} {_times(overhead.expansion)} {REFERENCE_BYTES[overhead.reference]}")
    return "; ".join(parts)


def _middle_rank(overhead: Overhead, thresholds: Thresholds, scale: float) -> int | None:
    criteria: tuple[tuple[float | None, Borders], ...] = (
        (overhead.device_s_per_sample, thresholds.device_s_per_sample),
        (overhead.times_random_projection, thresholds.times_random_projection),
        (overhead.times_plain_inference, thresholds.times_plain_inference),
    )
    votes = sorted(borders.rank(value, scale) for value, borders in criteria if value is not None)
    return votes[len(votes) // 2] if votes else None


def _ratio(value: float | None, reference: float | None) -> float | None:
    return value / reference if value is not None and reference else None


def _times(value: float | None) -> str:
    assert value is not None
    return f"{value:,.0f} times" if value >= 100 else f"{value:.2g} times"
