"""What the channels run over, and where the parties live."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ppbench.bundle import Tree
from ppbench.errors import UnavailableError
from ppbench.instructions.counter import Counter
from ppbench.launch.relay import Shape
from ppbench.plugin import Declared
from ppbench.process import Interpreter
from ppbench.wire.connection import Connection

LOOPBACK = "127.0.0.1"
_TRACEBACK_BEGINNINGS = (b"Traceback (most recent call last)", b"Fatal Python error")


def told(log: Path) -> str:
    """How a reason says where its traceback is: results folder, then the job's, the logs' and the file."""
    return f"; traceback in {'/'.join(log.parts[-3:])}"


class Wire(Declared, abc.ABC):
    """Starts the parties of one run and ends them, whatever happens."""

    settings: ClassVar[type[Any] | None] = None
    """A dataclass of what a command says of the wire, in the section of its name, and no job does; None: nothing."""
    shapes_links: ClassVar[bool] = False
    """Whether `shape` can make a link as slow as a real one."""
    crosses_network: ClassVar[bool] = False
    """Whether others may read and change what parties exchange: then each frame of a channel is authenticated."""
    own_processes: ClassVar[bool] = True
    """Whether the parties live in processes of theirs, beside the harness's."""
    counts_instructions: ClassVar[bool] = False
    """Whether it can start the parties' processes so that `count_instructions` works."""

    def __init__(self, pairs: Sequence[tuple[str, str]], threads: int, log_dir: Path, interpreter: Interpreter) -> None:
        self.pairs = pairs
        """Who has a channel to whom."""
        self.threads = threads
        """How many each process computes with."""
        self.log_dir = log_dir
        self.interpreter = interpreter
        self.certificate: Path | None = None
        """With its key, what a party that listens encrypts channels with; None: they are not encrypted."""

    @classmethod
    def open(cls, settings: Any) -> None:
        """Make ready for every run of this process; without effect if it is. Raises ConfigError."""

    @classmethod
    def shut(cls) -> None:
        """No further run comes."""

    def gather(self, groups: Sequence[Sequence[str]]) -> None:
        """Wait until all machines that parties are to live on are here; the deadline counts from then on.

        Raises UnavailableError if one does not come.
        """

    @abc.abstractmethod
    def start(self, groups: Sequence[Sequence[str]], deadline_s: float) -> dict[str, Connection]:
        """A control connection to each party; parties of one group share a process.

        Raises PeerGone if one ends before it connects, TimeoutError at `deadline_s` on the monotonic clock.
        """

    @abc.abstractmethod
    def dials(self) -> bool:
        """Whether the parties have yet to connect to one another."""

    def hosts(self, name: str) -> Mapping[str, str]:
        """The address of each party as `name` reaches it, its own one among them, which it listens on."""
        return {party: LOOPBACK for pair in self.pairs for party in pair}

    def interfaces(self, name: str) -> Mapping[str, str]:
        """The network interface over which `name` speaks to each of its peers and to nobody else, where there is one.

        The kernel counts packets by interface, so only then is it known who exchanged them.
        """
        return {}

    def shape(self, shape: Shape) -> None:
        """Make the link between each participant and each other party like this, from `start` on.

        Raises UnavailableError on a wire where no link can be shaped.
        """
        raise UnavailableError(f"no link is shaped on wire={self.name}")

    def count_instructions(self, counter: type[Counter]) -> None:
        """Have the instructions of each process counted, from `start` on.

        Raises UnavailableError on a wire whose processes cannot be.
        """
        raise UnavailableError(f"no instructions are counted on wire={self.name}")

    def machines(self) -> Mapping[str, Tree]:
        """What `ppbench.measure.machine` says of the machine of each party that does not live on this one."""
        return {}

    @classmethod
    def confinement(cls) -> str:
        """In a few words, what keeps the parties of this wire to their channels on this machine."""
        return "nothing"

    def children_cpu_s(self) -> Mapping[str, float]:
        """CPU seconds of what each party's process has started and that yet lives, where this machine can tell."""
        return {}

    def resident_bytes(self) -> Mapping[str, int]:
        """Resident memory of each party's process, and of all that it started, where this machine can tell."""
        return {}

    def log(self, name: str) -> Path:
        """Where all goes that the party's process prints, tracebacks included."""
        return self.log_dir / f"{name}.txt"

    def traceback(self, name: str) -> str:
        """`; traceback in PATH`, as seen from the results folder; empty if the party's process has printed none."""
        log = self.log(name)
        printed = log.read_bytes() if log.exists() else b""
        return told(log) if any(beginning in printed for beginning in _TRACEBACK_BEGINNINGS) else ""

    @abc.abstractmethod
    def state(self, name: str, wait_s: float = 0.0) -> str:
        """In a word or two, what the party is doing, or how it ended if it does within `wait_s`."""

    def pid(self, name: str) -> int | None:
        """The process that the party lives in, where the harness started it on this machine and it lives."""
        return None

    @abc.abstractmethod
    def end(self, name: str) -> None:
        """Kill one party, and those that share its process."""

    @abc.abstractmethod
    def close(self) -> None:
        """Kill all that still run, and wait for them."""
