"""What a data set must keep to, beyond what is looked at whenever one is loaded."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np

from ppbench.errors import PpbenchError
from ppbench.testing.dataset_case import DatasetCase
from ppbench.testing.result import CheckFailed, require

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST_SHARED = 0.5
"""Of the test samples; a table of few columns has many people who look alike."""
_OTHER_VALUES: dict[type, Any] = {bool: lambda v: not v, int: lambda v: v + 1, float: lambda v: v / 2 or 0.5}


def loads(case: DatasetCase) -> None:
    """A fresh process loads it, and finds it to be what a data set must be."""
    if isinstance(case.attempt, CheckFailed):
        raise case.attempt


def keeps_its_name(case: DatasetCase) -> None:
    """What is loaded has the name of its plugin, by which records tell it apart, and says how it came here."""
    require(case.dataset.name == case.plugin.name, f"what it loads calls itself '{case.dataset.name}'")
    require(case.dataset.route, "it does not say by which route its bytes came here")


def loads_the_same_again(case: DatasetCase) -> None:
    """Two fresh processes load the same samples and labels in the same order."""
    first, second = case.first, case.loaded_apart()
    require(first["content"] == second["content"], "a second process loads other samples, or in another order")
    require(first["sha256"] == second["sha256"], "a second process gives another sha256 for the same content")


def sha256_tells_contents_apart(case: DatasetCase) -> None:
    """`sha256` is a digest, another one where an option changes the content: records name the data by it."""
    first = case.first
    require(_DIGEST.fullmatch(first["sha256"]), f"sha256={first['sha256']!r} is not 64 hex digits")
    for field in dataclasses.fields(case.plugin):
        change = _OTHER_VALUES.get(type(getattr(case.plugin, field.name)))
        if change is None:
            continue
        try:
            other = case.loaded_apart(
                dataclasses.replace(case.plugin, **{field.name: change(getattr(case.plugin, field.name))})
            )
        except (PpbenchError, CheckFailed):
            continue  # that value is refused
        require(
            other["content"] == first["content"] or other["sha256"] != first["sha256"],
            f"the option '{field.name}' changes the content, but not the sha256",
        )


def every_class_can_be_learnt(case: DatasetCase) -> None:
    """Each class has a training sample."""
    counts = np.bincount(case.dataset.train.labels, minlength=case.dataset.n_classes)
    require(counts.all(), f"no training sample has one of the classes {np.flatnonzero(counts == 0).tolist()}")


def splits_share_few_samples(case: DatasetCase) -> None:
    """At most half of the test samples are among the training samples too."""
    train = {sample.tobytes() for sample in case.dataset.train.samples}
    shared = np.mean([sample.tobytes() in train for sample in case.dataset.test.samples])
    require(shared <= _MOST_SHARED, f"{shared:.0%} of the test samples are among the training samples")


def leaves_its_process_as_it_was(case: DatasetCase) -> None:
    """Loading it changes nothing that all code in a process shares, such as the state of a random generator."""
    changes = case.first["changes"]
    require(not changes, f"loading it changed {', '.join(changes)}")


def completes_a_job(case: DatasetCase) -> None:
    """A model is trained on it, and a few samples are classified in the clear."""
    require(case.job.record.status == "ok", case.job.reason, case.job.evidence())
