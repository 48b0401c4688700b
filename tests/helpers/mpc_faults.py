"""Multi-party computation, until one of its parties is killed or stopped."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Tree
from ppbench.party import Party, role_of
from ppbench.scheme import Batch, Role
from schemes.mpc import Mpc, scheme

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
LAST_BATCH = 1


class _Faulty(Role["FaultyMpc"]):
    """In setup a party does it to itself; the dealer, which knows no batches, has it done by the coordinator."""

    def maybe_fail(self, party: Party, stage: str) -> None:
        if (self.scheme.victim, self.scheme.stage) == (role_of(party.name), stage):
            os.kill(os.getpid(), SIGNALS[self.scheme.fault])


class Participant(_Faulty, scheme.Participant):
    def setup(self, party: Party, artifacts: Tree) -> None:
        self.maybe_fail(party, "setup")
        super().setup(party, artifacts)

    def online(self, party: Party, batch: Batch) -> None:
        if batch.index == LAST_BATCH:
            self.maybe_fail(party, "online")
        super().online(party, batch)


class Coordinator(_Faulty, scheme.Coordinator):
    def setup(self, party: Party, artifacts: Tree) -> None:
        self.maybe_fail(party, "setup")
        super().setup(party, artifacts)
        self.dealer = int(party.to("dealer").receive("process"))

    def online(self, party: Party, batch: Batch) -> None:
        if batch.index == LAST_BATCH:
            self.maybe_fail(party, "online")
            if (self.scheme.victim, self.scheme.stage) == ("dealer", "online"):
                os.kill(self.dealer, SIGNALS[self.scheme.fault])
        super().online(party, batch)


class Dealer(_Faulty, scheme.Dealer):
    def setup(self, party: Party, artifacts: Tree) -> None:
        self.maybe_fail(party, "setup")
        super().setup(party, artifacts)
        party.coordinator.send("process", np.int64(os.getpid()))


@dataclasses.dataclass(frozen=True)
class FaultyMpc(Mpc):
    name: ClassVar[str] = "faulty_mpc"
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {
        "participant": Participant,
        "coordinator": Coordinator,
        "dealer": Dealer,
    }

    victim: str = "participant"
    stage: str = "online"
    fault: str = "kill"
