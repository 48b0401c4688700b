"""From a job to its task: the verified data set, and the model trained on it once and kept by content."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ppbench import cache
from ppbench.bundle import Array
from ppbench.cache import MakingCost
from ppbench.data.checks import checked
from ppbench.data.dataset import Dataset, DatasetSource, unit
from ppbench.errors import ConfigError, DataError, PpbenchError, ProtocolError, told
from ppbench.measure.job import Job
from ppbench.models.classifier import Classifier
from ppbench.models.model import Model
from ppbench.models.network import Network
from ppbench.plugin import distribution
from ppbench.progress import Progress, silent
from ppbench.scheme import Task, TaskFacts, TrainedModel

_KIND = "model"


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
        progress(f"fetching {source.name}", 0, 1)
        _loaded[source] = checked(source.name, _load(source))
        progress(f"fetching {source.name}", 1, 1)
    return _loaded[source]


def _load(source: DatasetSource) -> Any:
    try:
        return source.load()
    except PpbenchError:
        raise
    except (Exception, SystemExit) as error:  # a plugin may raise anything
        raise DataError(f"data set '{source.name}': load() raised {told(error)}") from error


def dataset_of(job: Job, progress: Progress = silent) -> Dataset:
    """The job's data set, which its model and its numbers of samples fit. Raises DataError or ConfigError."""
    dataset = load_dataset(job.dataset, progress)
    job.model.check(dataset.sample_shape)
    if (n_samples := job.task.n_samples or 0) > len(dataset.test):
        raise ConfigError(f"task.n_samples={n_samples}, but {dataset.name} has {len(dataset.test)} test samples")
    if (n_train := job.task.n_train_samples or 0) > len(dataset.train):
        raise ConfigError(f"task.n_train_samples={n_train}, but {dataset.name} has {len(dataset.train)}")
    return dataset


def kept_task(job: Job, dataset: Dataset) -> tuple[Task, MakingCost] | None:
    """The job's task and what its model cost to train, at once; None if the cache does not hold the model."""
    key = model_key(job.model, dataset)
    entry = cache.lookup(_KIND, key)
    return None if entry is None else (_task(job, dataset, _model(job.model, dataset, key, entry)), entry.cost)


def trained_task(job: Job, dataset: Dataset, progress: Progress = silent) -> Task:
    """The job's task, with its model trained now if nobody has. Raises ConfigError for one that did not converge."""
    return _task(job, dataset, trained(job.model, dataset, progress), progress)


def _task(job: Job, dataset: Dataset, model: TrainedModel, progress: Progress = silent) -> Task:
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


def model_key(model: Model, dataset: Dataset) -> Mapping[str, Any]:
    """All that decides the weights."""
    shared = (f"ppbench.models.{name}" for name in ("training", "distortion", "network", "torch_modules", "classifier"))
    return {
        "model": model.name,
        "options": model.options(),
        "dataset": dataset.sha256,
        "code": cache.code(type(model).__module__, *shared),
        "versions": cache.versions("numpy", *map(distribution, model.requires.values())),
    }


def owned_samples(task: Task, n_samples: int) -> list[OwnedSamples]:
    """The first `n_samples` test samples, dealt to the participants in equal runs."""
    test = task.dataset.test
    return [
        OwnedSamples(test.samples[part], test.labels[part], task.model.answers[part])
        for part in np.array_split(np.arange(n_samples), task.facts.n_participants)
    ]


def trained(model: Model, dataset: Dataset, progress: Progress) -> TrainedModel:
    """The model from the cache, trained now if nobody has.

    Raises ConfigError for one that did not converge, which is not kept.
    """
    key = model_key(model, dataset)

    def train() -> Any:
        network = model.train(dataset, progress)
        _check_converged(model, network)
        try:
            answers = Classifier(network)(unit(dataset.test.samples, dataset.sample_max))
        except ProtocolError as error:
            raise _diverged(model, "outputs") from error
        return {"network": network.to_tree(), "answers": answers}

    return _model(model, dataset, key, cache.cached(_KIND, key, train))


def _model(model: Model, dataset: Dataset, key: Mapping[str, Any], entry: cache.Entry) -> TrainedModel:
    answers = entry.content["answers"]
    accuracy = float((answers == dataset.test.labels).mean())
    network = Network.from_tree(entry.content["network"])
    _check_converged(model, network)
    return TrainedModel(model.name, network, answers, accuracy, key)


def _check_converged(model: Model, network: Network) -> None:
    if not network.is_finite:
        raise _diverged(model, "weights")


def _diverged(model: Model, what: str) -> ConfigError:
    smaller = "a smaller model.max_lr" if "max_lr" in model.options() else "another recipe"
    return ConfigError(f"model={model.name} did not converge: its {what} are not finite; try {smaller}")
