"""From a job to its task: the verified data set, and the model trained on it once and kept by content."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ppbench import cache, code
from ppbench.bundle import Array
from ppbench.cache import MakingCost
from ppbench.data.checks import checked
from ppbench.data.dataset import Dataset, DatasetSource, Split, TrainingDataset, digest_of, unit
from ppbench.errors import ConfigError, DataError, PpbenchError, ProtocolError, told
from ppbench.measure.job import Job
from ppbench.models.classifier import Classifier
from ppbench.models.model import Model
from ppbench.models.network import Network
from ppbench.plugin import distribution
from ppbench.progress import Progress, silent
from ppbench.scheme import Task, TaskFacts, TrainedModel

_KIND = "model"
_ANSWERS = "answers"
_N_TRIED = 1000
"""Training samples that a model just trained must have finite outputs for."""


@dataclasses.dataclass(frozen=True)
class OwnedSamples:
    """The samples of one participant, in the order of the data set."""

    samples: Array
    """(n, d), raw."""
    labels: Array
    """(n,) of the task's label type."""
    model_answers: Array
    """(n,) of the same: what the model says of the clear samples."""


_loaded: dict[DatasetSource, Dataset] = {}


def load_dataset(source: DatasetSource, progress: Progress = silent) -> Dataset:
    """The data set, fetched and checked once a process. Raises DataError, whatever is wrong with it."""
    if source not in _loaded:
        _loaded[source] = _fetched(source, progress)
    return _loaded[source]


def _fetched(source: DatasetSource, progress: Progress) -> Dataset:
    progress(f"fetching {source.name}", 0, 1)
    dataset = checked(source.name, _load(source))
    progress(f"fetching {source.name}", 1, 1)
    return dataset


def _load(source: DatasetSource) -> Any:
    try:
        return source.load()
    except PpbenchError:
        raise
    except (Exception, SystemExit) as error:  # a plugin may raise anything
        raise DataError(f"data set '{source.name}': load() raised {told(error)}") from error


def dataset_of(job: Job, progress: Progress = silent) -> Dataset:
    """The job's data set, which its model and its numbers of samples fit. Raises DataError or ConfigError."""
    return _fitting(job, load_dataset(job.dataset, progress))


def training_dataset_of(job: Job, progress: Progress = silent) -> TrainingDataset:
    """The same without its test split, which this process then holds nowhere."""
    return _fitting(job, _fetched(job.dataset, progress)).training


def _fitting(job: Job, dataset: Dataset) -> Dataset:
    job.model.check(dataset.sample_shape)
    if (n_samples := job.task.n_samples or 0) > len(dataset.test):
        raise ConfigError(f"task.n_samples={n_samples}, but {dataset.name} has {len(dataset.test)} test samples")
    if (n_train := job.task.n_train_samples or 0) > len(dataset.train):
        raise ConfigError(f"task.n_train_samples={n_train}, but {dataset.name} has {len(dataset.train)}")
    return dataset


def kept_task(job: Job, dataset: TrainingDataset) -> tuple[Task, MakingCost] | None:
    """The job's task and what its model cost to train, at once; None if the cache does not hold the model."""
    key = model_key(job.model, dataset)
    entry = cache.lookup(_KIND, key)
    return None if entry is None else (_task(job, dataset, _model(job.model, key, entry)), entry.cost)


def trained_task(job: Job, dataset: TrainingDataset, progress: Progress = silent) -> Task:
    """The job's task, with its model trained now if nobody has. Raises ConfigError for one that did not converge."""
    return _task(job, dataset, trained(job.model, dataset, progress), progress)


def _task(job: Job, dataset: TrainingDataset, model: TrainedModel, progress: Progress = silent) -> Task:
    facts = TaskFacts(
        dataset=dataset.name,
        sample_shape=dataset.sample_shape,
        sample_max=dataset.sample_max,
        n_classes=dataset.n_classes,
        batch_size=job.task.batch_size,
        n_participants=job.task.n_participants,
        seed=job.seed,
    )
    return Task(facts, dataset, model, progress, job.task.n_train_samples)


def model_key(model: Model, dataset: TrainingDataset) -> Mapping[str, Any]:
    """All that decides the weights."""
    return {
        "model": model.name,
        "options": model.options(),
        "dataset": dataset.digest,
        "code": code.of_class(type(model)),
        "versions": cache.versions("numpy", *map(distribution, model.requires.values())),
    }


def answers_of(model: TrainedModel, dataset: Dataset) -> Array:
    """(n_test,) of the task's label type: what the model says of the clear test samples, computed once and kept.

    Raises ConfigError if an output is not finite.
    """
    key = {
        "model": model.key,
        "test": digest_of(dataset.test, dataset.sample_max),
        "code": code.of("ppbench.models.classifier"),
    }

    def classify() -> Array:
        try:
            return Classifier(model.network)(unit(dataset.test.samples, dataset.sample_max))
        except ProtocolError as error:
            raise _diverged(model.name, model.key["options"], "outputs") from error

    answers: Array = cache.cached(_ANSWERS, key, classify).content
    return answers


def owned_samples(test: Split, answers: Array, n_samples: int, n_participants: int) -> list[OwnedSamples]:
    """The first `n_samples` test samples with the model's answers, dealt to the participants in equal runs."""
    return [
        OwnedSamples(test.samples[part], test.labels[part], answers[part])
        for part in np.array_split(np.arange(n_samples), n_participants)
    ]


def trained(model: Model, dataset: TrainingDataset, progress: Progress) -> TrainedModel:
    """The model from the cache, trained now if nobody has.

    Raises ConfigError for one that did not converge, which is not kept.
    """
    key = model_key(model, dataset)

    def train() -> Any:
        network = model.train(dataset, progress)
        _check_fits(model, network, dataset)
        _check_converged(model, network)
        try:
            Classifier(network)(unit(dataset.train.samples[:_N_TRIED], dataset.sample_max))
        except ProtocolError as error:
            raise _diverged(model.name, model.options(), "outputs") from error
        return network.to_tree()

    return _model(model, key, cache.cached(_KIND, key, train))


def _model(model: Model, key: Mapping[str, Any], entry: cache.Entry) -> TrainedModel:
    network = Network.from_tree(entry.content)
    _check_converged(model, network)
    return TrainedModel(model.name, network, key)


def _check_fits(model: Model, network: Any, dataset: TrainingDataset) -> None:
    """Raises ConfigError for what is no network from this data set's samples to its classes."""
    if not isinstance(network, Network):
        raise ConfigError(
            f"model={model.name} trains a {type(network).__name__}: a ppbench.models.network.Network is due"
        )
    (n_outputs,) = network.shapes[-1]
    if n_outputs != dataset.n_classes:
        raise ConfigError(
            f"model={model.name} has {n_outputs} outputs, and {dataset.name} has {dataset.n_classes} classes"
        )


def _check_converged(model: Model, network: Network) -> None:
    if not network.is_finite:
        raise _diverged(model.name, model.options(), "weights")


def _diverged(name: str, options: Mapping[str, Any], what: str) -> ConfigError:
    smaller = "a smaller model.max_lr" if "max_lr" in options else "another recipe"
    return ConfigError(f"model={name} did not converge: its {what} are not finite; try {smaller}")
