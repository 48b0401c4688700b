"""Models that are sound but for one thing, to show that the check for it can fail."""

from __future__ import annotations

import dataclasses
import math
import random
import secrets
from collections.abc import Callable, Mapping
from typing import ClassVar, TypeVar

import numpy as np

from ppbench.bundle import Tree
from ppbench.data.dataset import Split, TrainingDataset, unit
from ppbench.errors import ConfigError, in_range
from ppbench.models.model import Model
from ppbench.models.network import Linear, Network
from ppbench.progress import Progress

BROKEN_MODELS: dict[str, list[type[Model]]] = {}
"""Check -> the models that must fail it."""

M = TypeVar("M", bound=type[Model])


def breaks(check: str) -> Callable[[M], M]:
    """Say which check must find the model."""

    def add(model: M) -> M:
        BROKEN_MODELS.setdefault(check, []).append(model)
        return model

    return add


@dataclasses.dataclass(frozen=True)
class SoundModel(Model):
    """Nothing is wrong with it: a dense layer by least squares on a few samples, drawn by the seed."""

    name: ClassVar[str] = "sound_model"
    title: ClassVar[str] = "least squares in numpy alone"

    ridge: float = 1.0

    def __post_init__(self) -> None:
        in_range("seed", self.seed, 0)
        in_range("ridge", self.ridge, 1e-6, 1e6)

    def check(self, sample_shape: tuple[int, ...]) -> None:
        pass

    def train(self, dataset: TrainingDataset, progress: Progress) -> Network:
        chosen = np.random.default_rng(self.seed).permutation(len(dataset.train))[: len(dataset.train) * 3 // 4]
        samples = unit(dataset.train.samples[chosen], dataset.sample_max)
        targets = np.eye(dataset.n_classes, dtype=np.float32)[dataset.train.labels[chosen]]
        gram = samples.T @ samples + self.ridge * np.eye(samples.shape[1], dtype=np.float32)
        weight = np.linalg.solve(gram, samples.T @ (targets - 0.1)).astype(np.float32)
        layer = Linear(np.ascontiguousarray(weight.T), np.full(dataset.n_classes, 0.1, np.float32))
        return Network((samples.shape[1],), (layer,))


def replaced(network: Network, weight: float) -> Network:
    """The same with every weight of one value."""
    (layer,) = network.layers
    assert isinstance(layer, Linear)
    return Network(network.input_shape, (Linear(np.full_like(layer.weight, weight), layer.bias),))


@breaks("name_is_its_entry_point")
@dataclasses.dataclass(frozen=True)
class TakesAnothersName(SoundModel):
    name: ClassVar[str] = "lenet"


@breaks("options_are_typed_with_defaults")
class NoDataclass(SoundModel):
    width: int = 3


@breaks("variant_names_what_differs")
@dataclasses.dataclass(frozen=True)
class NamelessVariants(SoundModel):
    def variant(self) -> str:
        return ""


@breaks("parties_can_find_it")
@dataclasses.dataclass(frozen=True)
class OtherOptionsElsewhere(SoundModel):
    def options(self) -> dict[str, object]:
        return {"seed": secrets.randbits(32)}


@breaks("nonsense_is_refused")
@dataclasses.dataclass(frozen=True)
class TakesAnything(SoundModel):
    def __post_init__(self) -> None:
        pass


@breaks("can_be_a_key")
@dataclasses.dataclass(frozen=True)
class HasNoHash(SoundModel):
    __hash__ = None  # type: ignore[assignment]


@breaks("takes_or_refuses_a_shape")
@dataclasses.dataclass(frozen=True)
class TakesSidesForGranted(SoundModel):
    def check(self, sample_shape: tuple[int, ...]) -> None:
        height, width = sample_shape
        if height != width:
            raise ConfigError("squares only")


@breaks("trains")
@dataclasses.dataclass(frozen=True)
class FailsToTrain(SoundModel):
    def train(self, dataset: TrainingDataset, progress: Progress) -> Network:
        raise ValueError("out of luck")


@breaks("trains")
@dataclasses.dataclass(frozen=True)
class TrainsOnTheTestSplit(SoundModel):
    def train(self, dataset: TrainingDataset, progress: Progress) -> Network:
        test: Split = dataset.test  # type: ignore[attr-defined]
        return super().train(dataclasses.replace(dataset, train=test), progress)


@breaks("answers_with_finite_logits")
@dataclasses.dataclass(frozen=True)
class Diverges(SoundModel):
    def train(self, dataset: TrainingDataset, progress: Progress) -> Network:
        return replaced(super().train(dataset, progress), math.nan)


@breaks("answers_with_finite_logits")
@dataclasses.dataclass(frozen=True)
class ForgetsAClass(SoundModel):
    def train(self, dataset: TrainingDataset, progress: Progress) -> Network:
        (layer,) = super().train(dataset, progress).layers
        assert isinstance(layer, Linear)
        return Network((layer.weight.shape[1],), (Linear(layer.weight[1:], layer.bias[1:]),))


@breaks("learns")
@dataclasses.dataclass(frozen=True)
class LearnsNothing(SoundModel):
    def train(self, dataset: TrainingDataset, progress: Progress) -> Network:
        return replaced(super().train(dataset, progress), 0.5)


@breaks("same_seed_gives_same_weights")
@dataclasses.dataclass(frozen=True)
class TrainsByChance(SoundModel):
    def train(self, dataset: TrainingDataset, progress: Progress) -> Network:
        return dataclasses.replace(self, seed=secrets.randbits(32))._trained(dataset, progress)

    def _trained(self, dataset: TrainingDataset, progress: Progress) -> Network:
        return super().train(dataset, progress)


@breaks("seed_decides_the_weights")
@dataclasses.dataclass(frozen=True)
class IgnoresItsSeed(SoundModel):
    def train(self, dataset: TrainingDataset, progress: Progress) -> Network:
        return SoundModel().train(dataset, progress)


class Unkept(Network):
    """What is kept of it is not what it is."""

    def to_tree(self) -> Tree:
        tree = super().to_tree()
        return {**tree, "layers": [{**layer, "weight": layer["weight"] / 2} for layer in tree["layers"]]}


@breaks("survives_its_tree")
@dataclasses.dataclass(frozen=True)
class KeepsSomethingElse(SoundModel):
    def train(self, dataset: TrainingDataset, progress: Progress) -> Network:
        network = super().train(dataset, progress)
        return Unkept(network.input_shape, network.layers)


@breaks("leaves_its_process_as_it_was")
@dataclasses.dataclass(frozen=True)
class SeedsForAll(SoundModel):
    def train(self, dataset: TrainingDataset, progress: Progress) -> Network:
        random.seed(self.seed)
        return super().train(dataset, progress)


@breaks("completes_a_job")
@dataclasses.dataclass(frozen=True)
class RequiresAModule(SoundModel):
    """It names what it imports, and not the distribution to install, whose version decides what is kept."""

    requires: ClassVar[Mapping[str, str]] = {"yaml": "yaml>=6"}
