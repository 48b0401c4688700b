"""A data set under check: loaded here, and in fresh processes."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar

from ppbench.bundle import Tree
from ppbench.data.dataset import Dataset, DatasetSource
from ppbench.errors import PpbenchError
from ppbench.measure import experiment
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.measure.load import load_dataset
from ppbench.models.model import Model
from ppbench.registry import DATASETS, SCHEMES, Registry
from ppbench.testing.outcome import Outcome
from ppbench.testing.plugin_case import PluginCase, described
from ppbench.testing.result import CheckFailed, CheckSkipped, skip_if

_N_SAMPLES = 32


@dataclasses.dataclass
class DatasetCase(PluginCase[DatasetSource]):
    """One data set, and the model of the job that it must serve in."""

    registry: ClassVar[Registry[Any]] = DATASETS

    model: Model

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The data set. Raises CheckSkipped if it cannot be loaded: another check reports that."""
        try:
            return load_dataset(self.plugin)
        except Exception as error:  # a plugin may raise anything
            raise CheckSkipped(f"it cannot be loaded ({type(error).__name__}: {error})") from error

    def loaded_apart(self, source: DatasetSource | None = None) -> Tree:
        """Digests of the content, as a fresh process tells them. Raises CheckFailed if it cannot load it."""
        return self.told_by("ppbench.testing.fresh_use", {"dataset": described(source or self.plugin)})

    @functools.cached_property
    def attempt(self) -> Tree | CheckFailed:
        """What the first fresh process tells, or how it failed."""
        try:
            return self.loaded_apart()
        except CheckFailed as failure:
            return failure

    @property
    def first(self) -> Tree:
        """What the first fresh process tells. Raises CheckSkipped if it failed: another check reports that."""
        skip_if(isinstance(self.attempt, CheckFailed), f"it cannot be loaded: {self.attempt}")
        return self.attempt

    @functools.cached_property
    def job(self) -> Outcome:
        """A few of its samples, classified in the clear. Raises CheckSkipped if the model does not take them."""
        job = Job(
            SCHEMES.load("plaintext")(),
            self.plugin,
            self.model,
            TaskOptions(n_samples=min(_N_SAMPLES, len(self.dataset.test)), batch_size=_N_SAMPLES // 2),
            MeasureOptions(warmup_batches=0, repetitions=1, deadline_s=self.deadline_s),
        )
        try:
            job.check_available()
            self.model.check(self.dataset.sample_shape)
        except PpbenchError as error:
            raise CheckSkipped(str(error)) from error
        record = experiment.run(job, self.folder)
        return Outcome(record, self.folder / record.folder, self.cls)
