"""Schemes that count, spend or speak otherwise than they say: the run names each, so that none completes a job."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import socket
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from ppbench import meter
from ppbench.bundle import Tree
from ppbench.party import Party
from ppbench.scheme import Batch, Role
from ppbench.wire.connection import KERNEL, PayloadBytes
from ppbench.wire.message import decode
from tests.broken.schemes import breaks
from tests.broken.sound import Coordinator, Participant, Sound, roles

PR_SET_DUMPABLE = 4


class Bypassing(Coordinator):
    def online(self, party: Party, batch: Batch) -> None:
        decode(party.participant.connection.receive())
        party.participant.send("seen", batch.size)


@dataclasses.dataclass(frozen=True)
class ReadsBesideTheView(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(coordinator=Bypassing)


class Understating(Participant):
    def online(self, party: Party, batch: Batch) -> None:
        super().online(party, batch)
        party.coordinator.counts.message_bytes_sent -= 1


@breaks("completes_a_job")
@dataclasses.dataclass(frozen=True)
class CountsTooFewBytes(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Understating)


class Forgetting(Participant):
    def online(self, party: Party, batch: Batch) -> None:
        super().online(party, batch)
        party.coordinator.counts.messages_received -= 1


@dataclasses.dataclass(frozen=True)
class ForgetsWhatItReceived(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Forgetting)


def _count_nothing() -> PayloadBytes:
    return PayloadBytes(0, 0, KERNEL)


class Bribing(Participant):
    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        party.coordinator.payload = _count_nothing  # type: ignore[method-assign]


@dataclasses.dataclass(frozen=True)
class BribesTheKernel(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Bribing)


def _count_no_more(channel: Any) -> None:
    counted = channel.payload()
    channel.payload = lambda: dataclasses.replace(counted)


class Stopping(Participant):
    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        _count_no_more(party.coordinator)


class StoppingToo(Coordinator):
    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        for participant in party.participants:
            _count_no_more(participant)


@dataclasses.dataclass(frozen=True)
class StopsCountingTogether(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Stopping, StoppingToo)


class RunningBackwards(Participant):
    def online(self, party: Party, batch: Batch) -> None:
        super().online(party, batch)
        party.coordinator.counts.message_bytes_received = 0


class RunningBackwardsToo(Coordinator):
    def online(self, party: Party, batch: Batch) -> None:
        super().online(party, batch)
        party.participant.counts.message_bytes_sent = 0


@dataclasses.dataclass(frozen=True)
class CountsBackwardsTogether(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(RunningBackwards, RunningBackwardsToo)


class StoppingTheClock(Participant):
    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        begun_s = time.process_time(), time.thread_time()
        time.process_time, time.thread_time = lambda: begun_s[0], lambda: begun_s[1]

    def online(self, party: Party, batch: Batch) -> None:
        until_ns = time.process_time_ns() + 200_000_000
        while time.process_time_ns() < until_ns:
            pass
        super().online(party, batch)


@breaks("completes_a_job")
@dataclasses.dataclass(frozen=True)
class StopsTheClock(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(StoppingTheClock)


class Overstating(Coordinator):
    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        begun_s = time.process_time()
        time.process_time = lambda: 100 + begun_s


@dataclasses.dataclass(frozen=True)
class ClaimsMoreThanItSpent(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(coordinator=Overstating)


class Shrinking(Participant):
    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        meter.peak_rss_bytes = lambda: 1 << 20


@breaks("completes_a_job")
@dataclasses.dataclass(frozen=True)
class HidesItsMemory(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Shrinking)


class KeepingALine(Participant):
    opens_sockets = True

    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        self.aside = socket.create_connection(("127.0.0.1", int(party.coordinator.receive("port"))))


class KeepingALineToo(Coordinator):
    opens_sockets = True

    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        self.asides = []
        for participant in party.participants:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                participant.send("port", listener.getsockname()[1])
                self.asides.append(listener.accept()[0])


@breaks("completes_a_job")
@dataclasses.dataclass(frozen=True)
class KeepsALineOpen(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(KeepingALine, KeepingALineToo)


class Whispering(KeepingALine):
    opens_sockets = False

    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        self.aside.close()


class Overhearing(KeepingALineToo):
    opens_sockets = False

    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        for aside in self.asides:
            aside.close()


@dataclasses.dataclass(frozen=True)
class ClosesItsLineInTime(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Whispering, Overhearing)


class Hiding(Participant):
    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)


@dataclasses.dataclass(frozen=True)
class HidesItsSockets(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Hiding)


class Broadcasting(Participant):
    opens_sockets = True

    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        self.aside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.aside.bind(("127.0.0.1", 0))


@dataclasses.dataclass(frozen=True)
class SpeaksDatagrams(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Broadcasting)


class Listening(Coordinator):
    def __init__(self, scheme: Any) -> None:
        super().__init__(scheme)
        self.aside = socket.socket(socket.AF_UNIX)
        self.aside.bind(f"\0ppbench-test-{os.getpid()}-{id(self)}")
        self.aside.listen()


@dataclasses.dataclass(frozen=True)
class ListensBeforeAllHaveMet(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(coordinator=Listening)


class Diverting(Participant):
    opens_sockets = True

    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        host, port = party.engine(party.coordinator)
        self.engine = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.engine.connect((host, port))


class DivertingToo(Coordinator):
    opens_sockets = True

    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        self.engines = []
        for participant in party.participants:
            self.engines.append(socket.create_server(party.engine(participant)))


@dataclasses.dataclass(frozen=True)
class DivertsItsEngine(Sound):
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Diverting, DivertingToo)
