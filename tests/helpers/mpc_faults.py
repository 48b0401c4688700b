"""Multi-party computation, until one of its parties is killed or stopped."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from ppbench.bundle import Tree
from ppbench.party import Party, role_of
from ppbench.scheme import Batch, Role
from schemes.mpc import Mpc, scheme

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
LAST_BATCH = 1
_AT_ONCE_S = 0.3
"""In which the dealer has heard it."""


class _Faulty(Role["FaultyMpc"]):
    """A party does it to itself; the dealer, which knows no batches, when the coordinator says so."""

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

    def online(self, party: Party, batch: Batch) -> None:
        if batch.index == LAST_BATCH:
            self.maybe_fail(party, "online")
            if (self.scheme.victim, self.scheme.stage) == ("dealer", "online"):
                party.to("dealer").send("fail")
                time.sleep(_AT_ONCE_S)
        super().online(party, batch)


class Dealer(_Faulty, scheme.Dealer):
    def setup(self, party: Party, artifacts: Tree) -> None:
        self.maybe_fail(party, "setup")
        super().setup(party, artifacts)
        if (self.scheme.victim, self.scheme.stage) == ("dealer", "online"):
            # It serves over its engine's sockets: the channel is free.
            threading.Thread(target=self._await_word, args=(party,), daemon=True).start()

    def _await_word(self, party: Party) -> None:
        party.coordinator.receive_many("fail")
        self.maybe_fail(party, "online")


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
