"""A module that brings a library along, which a device would have to load."""

from __future__ import annotations

import dataclasses

import pandas  # noqa: F401 - what the check is to find

from tests.broken.datasets import SoundData
from tests.broken.models import SoundModel
from tests.broken.sound import Sound


@dataclasses.dataclass(frozen=True)
class ImportsPandas(Sound):
    """Sound but for its module's imports."""


@dataclasses.dataclass(frozen=True)
class LoadsWithPandas(SoundData):
    """The same of a data set."""


@dataclasses.dataclass(frozen=True)
class TrainsWithPandas(SoundModel):
    """The same of a model."""
