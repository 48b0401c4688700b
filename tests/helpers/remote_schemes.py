"""Schemes that a device cannot run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from ppbench.bundle import Tree
from ppbench.party import Party
from ppbench.scheme import Role
from tests.faults.scheme import Coordinator, Faulty, Helper, Participant


class NeedyParticipant(Participant):
    def setup(self, party: Party, artifacts: Tree) -> None:
        import pandas  # noqa: F401 - this is what a device does not have


class CallingCoordinator(Coordinator):
    opens_sockets = True

    def setup(self, party: Party, artifacts: Tree) -> None:
        party.engine(party.participant)


@dataclasses.dataclass(frozen=True)
class Needy(Faulty):
    """Its participant needs more than numpy."""

    name: ClassVar[str] = "needy"
    requires: ClassVar[Mapping[str, str]] = {"pandas": "pandas>=2.1"}
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {
        "participant": NeedyParticipant,
        "coordinator": Coordinator,
        "helper": Helper,
    }


@dataclasses.dataclass(frozen=True)
class Calling(Faulty):
    """Its coordinator's engine calls the participant."""

    name: ClassVar[str] = "calling"
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {
        "participant": Participant,
        "coordinator": CallingCoordinator,
        "helper": Helper,
    }
