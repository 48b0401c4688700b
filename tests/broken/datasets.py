"""Data sets that are sound but for one thing, to show that the check for it can fail."""

from __future__ import annotations

import dataclasses
import os
import random
import secrets
from collections.abc import Callable
from typing import ClassVar, TypeVar

import numpy as np

from ppbench.data.dataset import Dataset, DatasetSource, Split, sha256_of
from ppbench.errors import ConfigError

BROKEN_DATASETS: dict[str, list[type[DatasetSource]]] = {}
"""Check -> the data sets that must fail it."""

D = TypeVar("D", bound=type[DatasetSource])


def breaks(check: str) -> Callable[[D], D]:
    """Say which check must find the data set."""

    def add(source: D) -> D:
        BROKEN_DATASETS.setdefault(check, []).append(source)
        return source

    return add


@dataclasses.dataclass(frozen=True)
class SoundData(DatasetSource):
    """Nothing is wrong with it: three classes, told apart by the value that is largest."""

    name: ClassVar[str] = "sound_data"
    title: ClassVar[str] = "four values, three classes"

    n_train: int = 300

    def __post_init__(self) -> None:
        if self.n_train < 3:
            raise ConfigError(f"dataset.n_train={self.n_train} must be at least 3")

    def load(self) -> Dataset:
        return self.made(np.random.default_rng(7))

    def made(self, drawn: np.random.Generator) -> Dataset:
        train, test = self.split(drawn, self.n_train), self.split(drawn, 60)
        return Dataset(
            name=self.name,
            train=train,
            test=test,
            sample_shape=(4,),
            sample_max=255,
            n_classes=3,
            sha256=sha256_of(train.samples, train.labels, test.samples, test.labels),
            route="drawn by a test",
        )

    def split(self, drawn: np.random.Generator, n: int) -> Split:
        samples = drawn.integers(0, 256, (n, 4), np.uint8)
        labels = np.arange(n).astype(np.uint8) % 3
        samples[np.arange(n), labels] = 255
        return Split(samples, labels)


@breaks("name_is_its_entry_point")
@dataclasses.dataclass(frozen=True)
class TakesAnothersName(SoundData):
    name: ClassVar[str] = "mnist"


@breaks("options_are_typed_with_defaults")
class NoDataclass(SoundData):
    width: int = 3


@breaks("variant_names_what_differs")
@dataclasses.dataclass(frozen=True)
class NamelessVariants(SoundData):
    def variant(self) -> str:
        return ""


@breaks("parties_can_find_it")
@dataclasses.dataclass(frozen=True)
class OtherOptionsElsewhere(SoundData):
    def options(self) -> dict[str, object]:
        return {"n_train": secrets.randbits(32)}


@breaks("nonsense_is_refused")
@dataclasses.dataclass(frozen=True)
class TakesAnything(SoundData):
    def __post_init__(self) -> None:
        pass


@breaks("nonsense_is_refused")
@dataclasses.dataclass(frozen=True)
class FailsByAccident(SoundData):
    def __post_init__(self) -> None:
        np.empty(self.n_train)


@breaks("can_be_a_key")
@dataclasses.dataclass(frozen=True)
class HasNoHash(SoundData):
    __hash__ = None  # type: ignore[assignment]


@breaks("can_be_a_key")
@dataclasses.dataclass(frozen=True, eq=False)
class EqualsNobody(SoundData):
    __eq__ = object.__eq__
    __hash__ = object.__hash__


@breaks("loads")
@dataclasses.dataclass(frozen=True)
class FailsToLoad(SoundData):
    def load(self) -> Dataset:
        raise ValueError("the disk is on fire")


@breaks("keeps_its_name")
@dataclasses.dataclass(frozen=True)
class CallsItselfOtherwise(SoundData):
    def load(self) -> Dataset:
        return dataclasses.replace(super().load(), name="another")


@breaks("loads_the_same_again")
@dataclasses.dataclass(frozen=True)
class DrawsAnew(SoundData):
    def load(self) -> Dataset:
        return self.made(np.random.default_rng(secrets.randbits(32)))


@breaks("sha256_tells_contents_apart")
@dataclasses.dataclass(frozen=True)
class SameDigestForAll(SoundData):
    def load(self) -> Dataset:
        return dataclasses.replace(super().load(), sha256="0" * 64)


@breaks("sha256_tells_contents_apart")
@dataclasses.dataclass(frozen=True)
class VersionForADigest(SoundData):
    def load(self) -> Dataset:
        return dataclasses.replace(super().load(), sha256="version 1")


@breaks("every_class_can_be_learnt")
@dataclasses.dataclass(frozen=True)
class HasAClassOfNobody(SoundData):
    def load(self) -> Dataset:
        return dataclasses.replace(super().load(), n_classes=4)


@breaks("splits_share_few_samples")
@dataclasses.dataclass(frozen=True)
class TestsOnTraining(SoundData):
    def load(self) -> Dataset:
        data = super().load()
        return dataclasses.replace(data, test=Split(data.train.samples[:60], data.train.labels[:60]))


@breaks("leaves_its_process_as_it_was")
@dataclasses.dataclass(frozen=True)
class SeedsForAll(SoundData):
    def load(self) -> Dataset:
        random.seed(os.urandom(4))
        return super().load()


@breaks("completes_a_job")
@dataclasses.dataclass(frozen=True)
class LoadsOnceAProcess(SoundData):
    """It takes itself for loaded in a worker, which inherits the environment."""

    name: ClassVar[str] = "loads_once"  # what is trained is kept by content
    seen: ClassVar[str] = "PPBENCH_TEST_LOADED"

    def load(self) -> Dataset:
        before = os.environ.setdefault(self.seen, str(os.getpid()))
        if before != str(os.getpid()):
            raise RuntimeError("somebody has loaded it already")
        return self.made(np.random.default_rng(secrets.randbits(32)))
