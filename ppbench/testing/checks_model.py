"""What a model must keep to; it is trained on a few hundred samples, so nothing is asked of its accuracy but some."""

from __future__ import annotations

import dataclasses

import numpy as np

from ppbench.errors import ConfigError, PpbenchError
from ppbench.testing import evidence
from ppbench.testing.model_case import ModelCase
from ppbench.testing.result import CheckFailed, require

_SHAPES = ((1,), (3, 5, 7), (2, 2), (28, 28), (1, 1, 1, 1))
_LEAST_GAIN = 0.1
"""Over the share of the largest class, in the accuracy on what it was trained on."""


def takes_or_refuses_a_shape(case: ModelCase) -> None:
    """`check` takes any shape of samples or refuses it by a ConfigError."""
    for shape in _SHAPES:
        try:
            case.plugin.check(shape)
        except ConfigError:
            continue
        except Exception as error:
            told = f"samples of shape {shape}: no ConfigError but an accident: {type(error).__name__}: {error}"
            raise CheckFailed(told, evidence.of_error(case.cls, error)) from error


def trains(case: ModelCase) -> None:
    """A fresh process trains it on a small data set that it takes, from what `requires` names and nothing else."""
    if isinstance(case.attempt, CheckFailed):
        raise case.attempt


def answers_with_finite_logits(case: ModelCase) -> None:
    """The network takes the data set's samples, and gives one finite number for each of its classes."""
    try:
        logits = case.logits("test")
    except PpbenchError as error:
        raise CheckFailed(str(error)) from error
    n_classes = case.dataset.n_classes
    require(
        logits.shape[1] == n_classes, f"the network gives {logits.shape[1]} values, where there are {n_classes} classes"
    )
    require(np.isfinite(logits).all(), "the network gives values that are not finite")


def learns(case: ModelCase) -> None:
    """What it was trained on it classifies better than who always says the largest class."""
    labels = case.dataset.train.labels
    accuracy = float((case.logits("train").argmax(axis=1) == labels).mean())
    largest = float(np.bincount(labels).max() / len(labels))
    require(
        accuracy >= min(1.0, largest + _LEAST_GAIN),
        f"{accuracy:.1%} of its training samples are classified rightly, where the largest class makes {largest:.1%}",
    )


def same_seed_gives_same_weights(case: ModelCase) -> None:
    """A second fresh process trains the same weights, to the bit."""
    require(case.trained_apart("second")["content"] == case.first["content"], "a second process trains other weights")


def seed_decides_the_weights(case: ModelCase) -> None:
    """Another seed gives other weights: repetitions over seeds would be no repetitions."""
    other = dataclasses.replace(case.plugin, seed=case.plugin.seed + 1)
    require(case.trained_apart("reseeded", other)["content"] != case.first["content"], "another seed changes no weight")


def survives_its_tree(case: ModelCase) -> None:
    """Taken apart by `to_tree` and put together again, the network gives the same numbers, to the bit."""
    require(case.first["is_kept"], "after to_tree and from_tree the network gives other numbers")


def leaves_its_process_as_it_was(case: ModelCase) -> None:
    """Training changes nothing that all code in a process shares, such as the state of a random generator."""
    changes = case.first["changes"]
    require(not changes, f"training it changed {', '.join(changes)}")


def completes_a_job(case: ModelCase) -> None:
    """It is trained for a job, and classifies a few samples in the clear."""
    require(case.job.record.status == "ok", case.job.reason, case.job.evidence())
