"""What parties say of themselves, held against what the kernel says of their processes to who started them.

The harness looks at barriers, when roles rest. It sees CPU time, peak memory and the sockets that a process and its
descendants hold, with the payload that went over each; a socket that comes and goes within a stage, which an engine
alone can have (`ppbench.launch.confine`), is seen by `ppbench check`. What both ends say alike of messages and rounds
nobody else has counted.

What the kernel charges a process and its parties do not report is what a party does for the harness: it reads words and
sends reports. Of all installed schemes that was 1.5 milliseconds a stage, 15 at most, whether the stage took one
millisecond or twenty seconds. `UNREPORTED_S` and `UNREPORTED_SHARE` leave room for a busy machine and for what large
artifacts take to read; so much is also what a party can hide. Memory may grow by what a report holds.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import TypeAlias

from ppbench import bundle
from ppbench.launch import outside
from ppbench.launch.outside import Socket
from ppbench.launch.reports import CountedConnection, Counts, StageReport
from ppbench.launch.wire import Wire
from ppbench.measure.readings import Reading, engine_traffic

UNREPORTED_S = 0.05
"""Of each party."""
UNREPORTED_SHARE = 0.05
"""Of what its process was charged."""
UNREPORTED_MIB = 8.0
_ROUNDED_S = 4 * outside.TICK_S
"""User and system time of children, at both ends."""
_MIB = 1 << 20

Payload: TypeAlias = dict[tuple[int, int], tuple[int, int]]
"""Two processes, by index -> bytes that the first has sent to the second, and received from it, since they met."""


@dataclasses.dataclass
class _Process:
    """One process, with what was seen of it when it was last looked at."""

    parties: Sequence[str]
    pid: int
    known_sockets: set[int]
    """Inodes of its control connections and channels."""
    is_charged_whole: bool
    """Whether its parties are charged for all that it computes: of a shared process, for what their own threads do."""
    cpu_s: float = 0.0
    """At the end of the last barrier."""
    had_children: bool = False
    """Whether some lived then: what one has spent is seen no more when it ends and its parent has not waited for it."""
    stage_cpu_s: float = 0.0
    """When the stage's last report had come."""
    is_counted: bool = False
    """Whether the kernel shows the payload of its connections."""

    def __str__(self) -> str:
        return ", ".join(self.parties)


class Witness:
    """Looks at the processes of one run that the harness started."""

    def __init__(self, wire: Wire, of_costs: bool = True) -> None:
        """Without `of_costs`, it looks at sockets alone: where seconds and memory are not the parties' own."""
        self._wire = wire
        self._of_costs = of_costs
        self._processes: list[_Process] = []
        self._met: set[tuple[int, int]] = set()
        """Pairs of processes, by index, with a connection from the start on."""
        self._least: Payload = {}
        """When the parties were last asked for their counts."""

    @property
    def seen(self) -> set[str]:
        """The parties that are looked at; of who lives elsewhere, or in the harness itself, nothing can be said."""
        return {name for process in self._processes for name in process.parties}

    # A process that has ended raises OSError, and who listens to its parties finds out.

    def begins(self, groups: Sequence[Sequence[str]], n_channels: Mapping[str, int]) -> str | None:
        """All parties have met and no role has run; what is wrong in a process, in words, or None.

        `groups` are the parties of each process, `n_channels` is how many channels each of them has. A process that
        cannot be looked at is left out.
        """
        for group in groups:
            if (pid := self._wire.pid(group[0])) is not None:
                with contextlib.suppress(OSError):
                    charged_whole = len(group) == 1 or self._wire.threads == 1
                    self._processes.append(_Process(group, pid, outside.socket_names(pid), charged_whole))
        for process in self._processes:
            n_due = sum(1 + n_channels[name] for name in process.parties)
            if len(process.known_sockets) > n_due:
                held = _described(process, process.known_sockets)
                return f"{process} failed in start: {n_due} sockets are due, and it holds {_listed(held)}"
            with contextlib.suppress(OSError):
                outside.payload(process.pid)
                process.is_counted = True
        self._met = set(self._payload())
        return None

    def barrier_ended(self) -> None:
        """What is charged from now on is the next stage's."""
        for process in self._processes:
            with contextlib.suppress(OSError):
                process.cpu_s = outside.cpu_s(process.pid)
                process.had_children = bool(outside.descendants(process.pid))

    def counts_begin(self) -> None:
        """The parties are about to be asked for their counts."""
        self._least = self._payload()

    def stage_ended(self) -> None:
        """All reports have come; what is counted from now on is no stage's."""
        for process in self._processes:
            with contextlib.suppress(OSError):
                process.stage_cpu_s = outside.cpu_s(process.pid)

    def objection(self, stage: str, readings: Mapping[str, Reading], counts: Mapping[str, Counts]) -> str | None:
        """What in a stage was not as its parties say, in words, and of whom; None if nothing was."""
        costs = self._false_costs(readings) if self._of_costs else ()
        told = [*costs, *self._stray_sockets(counts), *self._false_payload(counts)]
        return next((f"{process} failed in {stage}: {wrong}" for process, wrong in told), None)

    def _false_costs(self, readings: Mapping[str, Reading]) -> Iterator[tuple[_Process, str]]:
        for process in self._processes:
            own = [readings[name] for name in process.parties if name in readings]
            # Of one that dropped out in this stage, nobody has told what it spent.
            if own and not any(reading.dropped_out for reading in own):
                with contextlib.suppress(OSError):
                    yield from ((process, wrong) for wrong in _false(process, [reading.report for reading in own]))

    def _stray_sockets(self, counts: Mapping[str, Counts]) -> Iterator[tuple[_Process, str]]:
        """Sockets that are no channel, no control connection, and no declared engine's towards another engine."""
        new: list[tuple[_Process, list[Socket]]] = []
        for process in self._processes:
            try:
                new.append((process, _described(process, outside.socket_names(process.pid) - process.known_sockets)))
            except PermissionError as error:  # it could be looked at before
                yield process, f"it hides its sockets from who started it ({error.strerror})"
            except OSError:
                continue
        ends = {sock.local for _, socks in new for sock in socks if sock.kind == "tcp"}
        # Who has not been accepted yet is connected to one that listens, perhaps on every address.
        ends |= {_port(sock.local) for _, socks in new for sock in socks if sock.listens}
        for process, socks in new:
            has_engine = any(name in counts and counts[name].has_engine for name in process.parties)
            stray = [sock for sock in socks if not (has_engine and _is_of_engines(sock, ends))]
            if stray:
                beside = "its engine's" if has_engine else "its channels"
                yield process, f"beside {beside} it holds {_listed(stray)}"

    def _payload(self) -> Payload:
        """What the kernel has counted between any two of the processes that have met and that live."""
        connections: dict[int, list[CountedConnection]] = {}
        for index, process in enumerate(self._processes):
            if process.is_counted:
                with contextlib.suppress(OSError):
                    connections[index] = outside.payload(process.pid)
        owner = {connection.local: index for index, held in connections.items() for connection in held}
        counted: Payload = {pair: (0, 0) for pair in self._met if connections.keys() >= set(pair)}
        for index, held in connections.items():
            for connection in held:
                if (other := owner.get(connection.remote, index)) != index:
                    sent, received = counted.get((index, other), (0, 0))
                    counted[index, other] = sent + connection.sent, received + connection.received
        return counted

    def _false_payload(self, counts: Mapping[str, Counts]) -> Iterator[tuple[_Process, str]]:
        """Of two processes, what their parties say that went between them, where the kernel says otherwise.

        Engines may go on while the parties are asked, one after the other: the truth lies between two looks.
        """
        counted = self._payload()
        for pair, told in self._told_payload(counts).items():
            one, other = (self._processes[index] for index in pair)
            least, most = self._least.get(pair, (0, 0)), counted.get(pair, told)
            for what, low, said, high in zip(("sent to", "received from"), least, told, most, strict=True):
                if not low <= said <= high:
                    yield one, f"it counts {said} payload bytes {what} {other}, and the kernel {high}"

    def _told_payload(self, counts: Mapping[str, Counts]) -> Payload:
        """The same as the parties say, tags and encryption included, of processes all of whose parties live."""
        index = {name: i for i, process in enumerate(self._processes) for name in process.parties}
        whole = {i for i, process in enumerate(self._processes) if counts.keys() >= set(process.parties)}
        engines = engine_traffic({}, counts)
        told: Payload = {}
        for name, i in index.items():
            for peer, traffic in (*counts[name].channels.items(), *engines.get(name, {}).items()) if i in whole else ():
                if (j := index.get(peer)) is not None and j in whole:
                    sent, received = told.get((i, j), (0, 0))
                    told[i, j] = sent + traffic.all_bytes_sent, received + traffic.all_bytes_received
        return told


def _false(process: _Process, reports: Sequence[StageReport]) -> Iterator[str]:
    """What the parties of one process do not say of their stage. Raises OSError if it has ended."""
    told_s = sum(report.cost.cpu_s for report in reports)
    least_s, most_s = process.stage_cpu_s - process.cpu_s, outside.cpu_s(process.pid) - process.cpu_s
    is_told = process.is_charged_whole and all(report.cpu_is_known for report in reports)
    is_too_much = not process.had_children and told_s > most_s + _ROUNDED_S
    due_s = max(0.0, (1 - UNREPORTED_SHARE) * least_s - UNREPORTED_S * len(reports))
    if is_told and (is_too_much or told_s < due_s):
        yield f"it reports {told_s:.3f} s of CPU time, and the kernel charged it {least_s:.3f} s"
    told_mib = max(report.cost.peak_rss_bytes for report in reports) / _MIB
    peak_mib = outside.peak_rss_bytes(process.pid) / _MIB
    if told_mib < peak_mib - UNREPORTED_MIB - sum(map(_held_mib, reports)):
        yield f"it reports a peak of {told_mib:.1f} MiB of memory, and the kernel saw {peak_mib:.1f} MiB"


def _held_mib(report: StageReport) -> float:
    """What a report may take when it is put together to be sent."""
    return sum(array.nbytes for array in bundle.flatten(report.to_tree())[1]) / _MIB


def _described(process: _Process, inodes: Set[int]) -> list[Socket]:
    return outside.sockets(process.pid, inodes) if inodes else []


def _is_of_engines(sock: Socket, ends: set[str]) -> bool:
    """Whether a socket of an engine listens, has ended, or leads to a party's."""
    return sock.kind == "other" or (
        sock.kind == "tcp" and (sock.listens or not ends.isdisjoint((sock.remote, _port(sock.remote))))
    )


def _port(end: str) -> str:
    return end.rpartition(":")[2]


def _listed(socks: Sequence[Socket]) -> str:
    return "; ".join(map(str, socks))
