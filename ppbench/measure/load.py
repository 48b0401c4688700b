"""From a job to its task: the verified data set, and the model trained on it once and kept by content."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ppbench import cache
from ppbench.bundle import Array
from ppbench.data.checks import checked
from ppbench.data.dataset import Dataset, DatasetSource, unit
from ppbench.errors import ConfigError, DataError, PpbenchError, ProtocolError
from ppbench.measure.job import Job
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
        said = " ".join(str(error).split())
        raise DataError(f"data set '{source.name}': load() raised {type(error).__name__}: {said}") from error


def load_task(job: Job, progress: Progress = silent) -> tuple[Task, cache.MakingCost]:
    """The job's task and what its model cost to train, training it now if nobody has.

    Raises DataError, or ConfigError if data set, model and task do not fit one another.
    """
    dataset = load_dataset(job.dataset)
    job.model.check(dataset.sample_shape)
    n_samples = job.task.n_samples or len(dataset.test)
    if n_samples > len(dataset.test):
        raise ConfigError(f"task.n_samples={n_samples}, but {dataset.name} has {len(dataset.test)} test samples")
    n_train = job.task.n_train_samples or len(dataset.train)
    if n_train > len(dataset.train):
        raise ConfigError(f"task.n_train_samples={n_train}, but {dataset.name} has {len(dataset.train)}")
    model, cost = trained(job.model, dataset, progress)
    facts = TaskFacts(
        dataset=dataset.name,
        sample_shape=dataset.sample_shape,
        sample_max=dataset.sample_max,
        n_classes=dataset.n_classes,
        batch_size=job.task.batch_size,
        n_participants=job.task.n_participants,
        seed=job.seed,
    )
    return Task(facts, dataset, model, progress, job.task.n_train_samples), cost


def is_trained(model: Model, dataset: Dataset) -> bool:
    """Whether the cache holds this model, so that `load_task` needs neither torch nor time."""
    return cache.lookup(_KIND, model_key(model, dataset)) is not None


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


def trained(model: Model, dataset: Dataset, progress: Progress) -> tuple[TrainedModel, cache.MakingCost]:
    """The model from the cache, trained now if nobody has, and what that cost.

    Raises ConfigError for a model that did not converge; it is not kept.
    """
    key = model_key(model, dataset)

    def train() -> Any:
        from ppbench.models.classifier import Classifier

        network = model.train(dataset, progress)
        _check_converged(model, network)
        try:
            answers = Classifier(network)(unit(dataset.test.samples, dataset.sample_max))
        except ProtocolError as error:
            raise _diverged(model, "outputs") from error
        return {"network": network.to_tree(), "answers": answers}

    entry = cache.cached(_KIND, key, train)
    answers = entry.content["answers"]
    accuracy = float((answers == dataset.test.labels).mean())
    network = Network.from_tree(entry.content["network"])
    _check_converged(model, network)
    return TrainedModel(model.name, network, answers, accuracy, key), entry.cost


def _check_converged(model: Model, network: Network) -> None:
    if not network.is_finite:
        raise _diverged(model, "weights")


def _diverged(model: Model, what: str) -> ConfigError:
    smaller = "a smaller model.max_lr" if "max_lr" in model.options() else "another recipe"
    return ConfigError(f"model={model.name} did not converge: its {what} are not finite; try {smaller}")
