"""A model under check: trained in fresh processes on a small part of a data set that it takes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, ClassVar

from ppbench import bundle
from ppbench.bundle import Array, Tree
from ppbench.data.dataset import Dataset, DatasetSource, unit
from ppbench.errors import PpbenchError
from ppbench.measure import experiment
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.measure.load import load_dataset
from ppbench.models.model import Model
from ppbench.models.network import Network
from ppbench.registry import MODELS, SCHEMES, Registry
from ppbench.testing.outcome import Outcome
from ppbench.testing.part import Part, part_of
from ppbench.testing.plugin_case import PluginCase, described
from ppbench.testing.result import CheckFailed, CheckSkipped, skip_if

_N_SAMPLES = 32


@dataclasses.dataclass
class ModelCase(PluginCase[Model]):
    """One model, and the data sets that it may be trained on."""

    registry: ClassVar[Registry[Any]] = MODELS

    datasets: Sequence[DatasetSource]
    """The first that can be had and that the model takes is used, in part."""

    @functools.cached_property
    def part(self) -> Part:
        """What it is trained on. Raises CheckSkipped if there is nothing."""
        why = []
        for source in self.datasets:
            try:
                self.plugin.check(load_dataset(source).sample_shape)
            except PpbenchError as error:
                why.append(" ".join(str(error).split()))
            else:
                return part_of(source)
        raise CheckSkipped(f"there is no data set that it takes: {'; '.join(why)}")

    @property
    def dataset(self) -> Dataset:
        """The same, loaded."""
        return load_dataset(self.part)

    def trained_apart(self, label: str, model: Model | None = None) -> Tree:
        """What a fresh process tells of training it. Raises CheckFailed if it fails there."""
        given = {
            "dataset": described(self.part),
            "model": described(model or self.plugin),
            "file": str(self.folder / f"{label}.npz"),
        }
        return self.told_by("ppbench.testing.fresh_use", given)

    @functools.cached_property
    def attempt(self) -> Tree | CheckFailed:
        """What the first fresh process tells, or how it failed."""
        try:
            return self.trained_apart("first")
        except CheckFailed as failure:
            return failure

    @property
    def first(self) -> Tree:
        """What the first fresh process tells. Raises CheckSkipped if it failed: another check reports that."""
        skip_if(isinstance(self.attempt, CheckFailed), f"it could not be trained: {self.attempt}")
        return self.attempt

    @functools.cached_property
    def network(self) -> Network:
        """As the first process trained it."""
        _ = self.first
        return Network.from_tree(bundle.load(self.folder / "first.npz"))

    def logits(self, split: str) -> Array:
        """(n, n_classes) of the first network, for `train` or `test`."""
        return self.network(unit(getattr(self.dataset, split).samples, self.dataset.sample_max))

    @functools.cached_property
    def job(self) -> Outcome:
        """A few samples, classified in the clear."""
        job = Job(
            SCHEMES.load("plaintext")(),
            self.part,
            self.plugin,
            TaskOptions(n_samples=min(_N_SAMPLES, len(self.dataset.test)), batch_size=_N_SAMPLES // 2),
            MeasureOptions(warmup_batches=0, repetitions=1, deadline_s=self.deadline_s),
        )
        try:
            job.check_available()
        except PpbenchError as error:
            raise CheckSkipped(str(error)) from error
        record = experiment.run(job, self.folder)
        return Outcome(record, self.folder / record.folder, self.cls)
