"""Training is a stage like any other: its steps are counted, on links it takes time, and its rounds are told apart."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from tests.helpers import measured
from tests.helpers.measured import value
from tests.sketches.common import LeastSquares
from tests.sketches.federated_averaging import FederatedAveraging

measure = functools.partial(measured.measure, model=LeastSquares(), wire="memory", n_samples=10)


@pytest.mark.parametrize("n_training_rounds", [5, 20])
def test_the_steps_of_training_are_counted_from_its_own_begin(tmp_path: Path, n_training_rounds: int) -> None:
    record = measure(FederatedAveraging(n_training_rounds=n_training_rounds), tmp_path, n_participants=2)
    # A model down and an update up in each training round, and the trained model down at the end.
    assert value(record, "train", "rounds") == 2 * n_training_rounds + 1
    assert value(record, "setup", "rounds") == 0
    assert value(record, "online", "rounds") == 1
