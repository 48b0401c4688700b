"""What a party hands over is refused at once, in one line, if it is no answer, no logits or no samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ppbench.errors import ProtocolError
from ppbench.party import Party
from ppbench.scheme import Batch, TaskFacts
from ppbench.wire.channel import CriticalPath

FACTS = TaskFacts("small", (2,), 1.0, 3, 2, 1, 0)
LABELS = np.array([0, 2])
LOGITS = np.zeros((2, 3))


@pytest.fixture
def party() -> Party:
    made = Party("participant-0", FACTS, {}, CriticalPath(), None, True, {})
    made.begin("participant-0", Batch(0, 2, np.zeros((2, 2))))
    return made


def one_at(value: float) -> Any:
    array = LOGITS.copy()
    array[1, 2] = value
    return array


@pytest.mark.parametrize(
    ("labels", "logits", "told"),
    [
        ([[0], [1, 2]], None, "answers labels that are no array: rows of different lengths"),
        ([None, 1], None, "answers labels as Python objects (list)"),
        (["0", "1"], None, "answers <U1 (2,) for a batch of 2: (2,) integers are needed"),
        ([0.0, 1.0], None, "answers float64 (2,) for a batch of 2"),
        (0, None, "answers int64 () for a batch of 2"),
        ([0, 3], None, "answers a label outside 0..2"),
        (LABELS, one_at(np.nan), "answers logits of which 1 of 6 are not finite"),
        (LABELS, one_at(-np.inf), "answers logits of which 1 of 6 are not finite"),
        (LABELS, LOGITS[:, :2], "answers logits float64 of shape (2, 2) where real numbers (2, 3) are due"),
        (LABELS, LOGITS * 1j, "answers logits complex128 of shape (2, 3) where real numbers (2, 3) are due"),
        (LABELS, LOGITS.astype(str), "answers logits <U32 of shape (2, 3) where real numbers"),
        (LABELS, [[1.0], [1.0, 2.0]], "answers logits that are no array"),
    ],
)
def test_an_answer_that_is_none_is_refused(party: Party, labels: Any, logits: Any, told: str) -> None:
    with pytest.raises(ProtocolError) as refusal:
        party.answer(labels, logits)
    assert told in str(refusal.value)
    assert party.answered is None


def test_an_answer_is_taken(party: Party) -> None:
    party.answer(LABELS.astype(np.uint8), LOGITS.astype(np.float32))
    assert party.answered is not None
    assert party.logits is not None
    assert party.logits.dtype == np.float64


def test_samples_and_results_that_are_none_are_refused(party: Party) -> None:
    for samples, told in (
        (np.full((2, 2), np.nan), "reconstructs samples of which 4 of 4 are not finite"),
        (np.zeros((2, 3)), r"reconstructs samples float64 of shape \(2, 3\) where real numbers \(2, 2\) are due"),
        ([[0.0], [0.0, 1.0]], "reconstructs samples that are no array"),
    ):
        with pytest.raises(ProtocolError, match=told):
            party.reconstructed(samples)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="publishes 'table' as Python objects"):
        party.publish("table", np.array([object()]))
