"""A scheme that works, until one party does what no party should in a stage of choice."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Tree
from ppbench.party import Party, role_of
from ppbench.scheme import Batch, Role, Scheme, SchemeCard, Shard, Task, TaskFacts


def _raise(party: Party) -> None:
    raise ValueError("the sensor is on fire")


def _send_garbage(party: Party) -> None:
    for channel in party.channels.values():
        channel.connection.socket.sendall(b"\xff" * 200)


def _send_half_a_frame_and_leave(party: Party) -> None:
    for channel in party.channels.values():
        channel.connection.socket.sendall(b"\x00\x00\x01\x00half")
    os._exit(0)


SLEEPER = ["sleep", "600"]


def _leave_children(party: Party) -> None:
    """One as anybody starts it, and one as a daemon starts itself, if it may."""
    subprocess.Popen(SLEEPER)
    if first := os.fork():
        os.waitpid(first, 0)
        return
    with contextlib.suppress(OSError):
        os.setsid()
    if os.fork():
        os._exit(0)
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    os.execvp(SLEEPER[0], SLEEPER)


def _hang_with_children(party: Party) -> None:
    _leave_children(party)
    threading.Event().wait()


CHILD_CPU_S = 0.3


def _compute_in_a_child(party: Party) -> None:
    """Nobody waits for it."""
    program = f"import time\nwhile time.process_time() < {CHILD_CPU_S}: pass\nprint(flush=True)\ntime.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()


PRINTED_BYTES = 8 << 20


def _print_much(party: Party) -> None:
    os.write(1, b"in the beginning")
    for _ in range(PRINTED_BYTES >> 16):
        os.write(2, b"." * (1 << 16))
    os.write(1, b"at the end")


HOARDED_BYTES = 256 << 20


def _hoard(party: Party) -> None:
    hoard = np.ones(HOARDED_BYTES, np.uint8)
    threading.Event().wait()
    del hoard


def _swell(party: Party) -> None:
    np.ones(HOARDED_BYTES, np.uint8).sum()


FAULTS: Mapping[str, Callable[[Party], Any]] = {
    "raise": _raise,
    "exit": lambda party: os._exit(3),
    "kill": lambda party: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda party: os.kill(os.getpid(), signal.SIGSTOP),
    "hang": lambda party: threading.Event().wait(),
    "garbage": _send_garbage,
    "half": _send_half_a_frame_and_leave,
    "children": _leave_children,
    "grandchildren": _hang_with_children,
    "compute": _compute_in_a_child,
    "print": _print_much,
    "hoard": _hoard,
    "swell": _swell,
}


class _Faulty(Role["Faulty"]):
    def _maybe_fail(self, party: Party, stage: str) -> None:
        if (self.scheme.stage, self.scheme.party) == (stage, role_of(party.name)):
            FAULTS[self.scheme.fault](party)

    def setup(self, party: Party, artifacts: Tree) -> None:
        self._maybe_fail(party, "setup")
        self._exchange(party)

    def train(self, party: Party, shard: Shard | None) -> None:
        self._maybe_fail(party, "train")
        self._exchange(party)

    def offline(self, party: Party, batch: Batch) -> None:
        self._maybe_fail(party, "offline")
        self._exchange(party)

    def close(self, party: Party) -> None:
        self._maybe_fail(party, "close")

    def _exchange(self, party: Party) -> None:
        raise AssertionError


class Participant(_Faulty):
    def _exchange(self, party: Party) -> None:
        party.coordinator.send("hello", np.uint8(1))
        party.coordinator.receive("hello")

    def online(self, party: Party, batch: Batch) -> None:
        self._maybe_fail(party, "online")
        party.coordinator.send("samples", batch.samples)
        party.answer(party.coordinator.receive("labels"))


class Coordinator(_Faulty):
    def _exchange(self, party: Party) -> None:
        party.participant.receive("hello")
        party.participant.send("hello", np.uint8(1))

    def online(self, party: Party, batch: Batch) -> None:
        self._maybe_fail(party, "online")
        party.participant.send("labels", np.zeros(len(party.participant.receive("samples")), np.uint8))


class Helper(Role["Faulty"]):
    """A third party that serves."""

    on_critical_path = False

    def serve(self, party: Party) -> None:
        if self.scheme.party == "helper":
            FAULTS[self.scheme.fault](party)
        for _ in party.requests("participant", "coordinator"):
            pass


class Asking(Participant):
    """Needs the helper online."""

    def online(self, party: Party, batch: Batch) -> None:
        party.to("helper").send("request", np.uint8(1))
        party.to("helper").receive("reply")


class AskingToo(Coordinator):
    """Needs the helper online."""

    online = Asking.online


class Leaving(Helper):
    """Hangs up on both who ask, and is dead only after they have said so."""

    def serve(self, party: Party) -> None:
        for channel in party.channels.values():
            channel.receive("request")
        for channel in party.channels.values():
            channel.connection.close()
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)


@dataclasses.dataclass(frozen=True)
class Faulty(Scheme):
    name: ClassVar[str] = "faulty"
    title: ClassVar[str] = "for tests of faults"
    card: ClassVar[SchemeCard] = SchemeCard(
        title="Faulty",
        source="tests",
        taxonomy=("inference", "test"),
        protects="nothing",
        guarantee="none",
        task="inference",
        computation=None,
        communication=None,
        deterministic_bytes=True,
        seeded_answers=True,
    )
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {
        "participant": Participant,
        "coordinator": Coordinator,
        "helper": Helper,
    }

    party: str = "participant"
    stage: str = "none"
    fault: str = "raise"

    def prepare_key(self, facts: TaskFacts) -> Mapping[str, Any]:
        """Nothing is prepared that depends on an option, but for a fault in preparing, which each test sees anew."""
        if self.stage != "prepare":
            return {}
        return {**self.options(), "test": os.environ.get("PPBENCH_TEST_MARKER")}

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        if self.stage == "prepare":
            FAULTS[self.fault](None)  # type: ignore[arg-type]
        return {}


@dataclasses.dataclass(frozen=True)
class HungUp(Faulty):
    name: ClassVar[str] = "hung_up"
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {
        "participant": Asking,
        "coordinator": AskingToo,
        "helper": Leaving,
    }
