"""The parties of one run as the harness sees them: started, led from stage to stage, and ended in any case."""

from __future__ import annotations

import dataclasses
import select
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ppbench.bundle import Array, Tree
from ppbench.errors import PeerGone, PpbenchError, ProtocolError
from ppbench.instructions.counter import Counter
from ppbench.launch.host import rank
from ppbench.launch.relay import Shape
from ppbench.launch.reports import Counts, StageReport
from ppbench.launch.wire import told
from ppbench.launch.wires import WIRES
from ppbench.measure.readings import (
    Reading,
    counts_move,
    disagreement,
    engine_traffic,
    reading,
    reading_of_dropped,
)
from ppbench.measure.witness import Witness
from ppbench.party import participant_name, role_of
from ppbench.plugin import target_of
from ppbench.process import Interpreter
from ppbench.scheme import PARTICIPANT, Scheme, TaskFacts
from ppbench.units import size
from ppbench.wire import control

_ROOT_CAUSE_S = 3.0
"""How long after a complaint about another party that one's own end may be heard of, on a busy machine."""
_SETTLES_S = 2.0
_GLANCE_S = 0.05
"""How often memory is looked at, where it has a limit: a core fills some 100 MB meanwhile."""
_STANDS_STILL_S = 0.02
"""Counts that are the same after so long have settled: a thread that had to send has had a core by then."""
_OF_A_STAGE = ("stage", "count")
"""The words after which parties owe an account of what they have spent."""


class JobFailed(PpbenchError):
    """A party failed, died or let the deadline pass; the message says who, where and why."""


class Parties:
    """A context: inside it all parties run; leaving it, none does."""

    def __init__(
        self,
        scheme: Scheme,
        facts: TaskFacts,
        wire: str,
        threads: int,
        deadline_s: float,
        log_dir: Path,
        participants_per_process: int = 1,
        record_view: bool = False,
        shape: Shape | None = None,
        memory_bytes: int | None = None,
        counter: type[Counter] | None = None,
    ) -> None:
        self.scheme = scheme
        self.facts = facts
        self.names = _names(scheme, facts.n_participants)
        self.dropped: dict[str, str] = {}
        """Participants that died, failed or left where the card allows it -> in which stage and how."""
        self.published: dict[str, dict[str, Array]] = {}
        """Party -> name -> the last result that it published by this name, up to the end of the last stage."""
        self._groups = _groups(self.names, participants_per_process)
        self._pairs = [(a, b) for a in self.names for b in self.names if rank(a) < rank(b) and role_of(a) != role_of(b)]
        self._wire = WIRES.load(wire)(self._pairs, threads, log_dir, _interpreter(scheme))
        if shape is not None:
            self._wire.shape(shape)
        if counter is not None:
            self._wire.count_instructions(counter)
        self._deadline_s = deadline_s
        self._memory_bytes = memory_bytes
        self._ends_at_s = 0.0
        self._record_view = record_view
        self._inboxes: dict[str, control.Inbox] = {}
        self._counts: dict[str, Counts] = {}
        self._children_cpu_s: Mapping[str, float] = {}
        self._stage = "start"
        self._witness = Witness(self._wire, of_costs=counter is None or counter.slow_down == 1)

    def __enter__(self) -> Parties:
        """Start all parties and join them. Raises JobFailed, or UnavailableError if a device is not here."""
        self._wire.gather(self._groups)
        self._ends_at_s = time.monotonic() + self._deadline_s
        try:
            controls = self._wire.start(self._groups, self._ends_at_s)
            self._inboxes = {name: control.Inbox(controls[name]) for name in self.names}
            self._introduce()
            self._refuse(self._witness.begins(self._groups, {name: len(self._peers(name)) for name in self.names}))
            self._counts = self._settled()
            self._children_cpu_s = self._wire.children_cpu_s()
        except TimeoutError:
            late = self._late(self.names)
            self._wire.close()
            raise late from None
        except PeerGone as error:
            self._wire.close()
            raise JobFailed(str(error)) from error
        except BaseException:
            self._wire.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wire.close()
        for inbox in self._inboxes.values():
            inbox.connection.close()

    @property
    def machines(self) -> Mapping[str, Tree]:
        """Of each party that does not live on this machine, what its own one is."""
        return self._wire.machines()

    @property
    def seen_from_outside(self) -> set[str]:
        """The parties whose CPU, memory and sockets the harness holds against what they say."""
        return self._witness.seen

    @property
    def living(self) -> list[str]:
        """The parties that have not dropped out."""
        return [name for name in self.names if name not in self.dropped]

    def load(self, owned: Mapping[str, Tree]) -> None:
        """Give each party the samples and the shard it owns, before any stage. Raises JobFailed."""
        nothing = {"samples": None, "shard": None}
        self._ask("load", {name: {**nothing, **owned.get(name, {})} for name in self.living})

    def stage(self, stage: str, trees: Mapping[str, Tree] | None = None) -> dict[str, Reading]:
        """Run one stage to its barrier, with a tree for each party, and read what it cost. Raises JobFailed."""
        self._stage = stage
        words = {name: {"stage": stage, **((trees or {}).get(name) or {})} for name in self.living}
        done = {name: StageReport.from_tree(tree) for name, tree in self._ask("stage", words).items()}
        self._witness.stage_ended()
        for name, report in done.items():
            for published in (*(ended.published for ended in report.training_rounds), report.published):
                if published:
                    self.published.setdefault(name, {}).update(published)
        self._check_memory({name: report.cost.peak_rss_bytes for name, report in done.items()})
        before, self._counts = self._counts, self._settled()
        used_s, self._children_cpu_s = self._children_cpu_s, self._wire.children_cpu_s()
        engines = engine_traffic(before, self._counts)
        readings = {
            name: reading(
                done[name],
                before[name],
                self._counts[name],
                engines.get(name, {}),
                self._children_cpu_s.get(name, 0.0) - used_s.get(name, 0.0),
            )
            if name in self._counts
            else reading_of_dropped(name, done.get(name), before, self._counts)
            for name in words
        }
        self._refuse(self._witness.objection(stage, readings, self._counts))
        self._witness.barrier_ended()
        return readings

    def _refuse(self, objection: str | None) -> None:
        """Raises JobFailed if there is one."""
        if objection:
            raise JobFailed(objection)

    def renew(self) -> None:
        """Give each party a role as at the start: what all of them did up to now was a rehearsal. Raises JobFailed."""
        self._ask("renew", dict.fromkeys(self.living))
        self.published.clear()
        self._counts = self._settled()
        self._children_cpu_s = self._wire.children_cpu_s()

    @property
    def is_overdue(self) -> bool:
        """Whether the deadline has passed."""
        return time.monotonic() >= self._ends_at_s

    def _settled(self) -> dict[str, Counts]:
        """The counts at a barrier, once all that was sent before it has arrived.

        Those who serve may have to read it yet, engines to say that they have, and the kernel to acknowledge it: none
        of this is to count as another stage's. Raises JobFailed if two ends of a channel count differently.
        """
        until_s = time.monotonic() + _SETTLES_S
        before: Mapping[str, Counts] = {}
        wrong: tuple[str, str] | None = None
        while True:
            self._witness.counts_begin()
            told = self._ask("count", dict.fromkeys(self.living))
            counts = {name: Counts.from_tree(tree) for name, tree in told.items()}
            behind = self._is_behind(counts)
            was_wrong, wrong = wrong, disagreement(self._counts, counts)
            is_late = time.monotonic() > until_s
            # Of who serves, and sends on its own account, the figures may be others each time.
            if is_late and wrong and wrong == was_wrong:
                raise JobFailed(f"{wrong[0]} failed in {self._stage}: {wrong[1]}")
            if is_late or not (wrong or behind or counts_move(before, counts)):
                return counts
            before = {} if behind else counts
            # To be asked costs those who serve CPU time of the stage.
            time.sleep(0.001 if behind else _STANDS_STILL_S)

    def _is_behind(self, counts: Mapping[str, Counts]) -> bool:
        return any(
            traffic.messages_received < counts[peer].channels[name].messages_sent
            for name in counts
            if self.scheme.roles[role_of(name)].takes_part_in("serve")
            for peer, traffic in counts[name].channels.items()
            if peer in counts
        )

    def release(self) -> dict[str, list[Tree]]:
        """End the run in good order; the view of each party, if views are recorded. Raises JobFailed."""
        self._stage = "release"
        return {name: tree["view"] for name, tree in self._ask("release", dict.fromkeys(self.living)).items()}

    def _introduce(self) -> None:
        elsewhere = self._wire.machines()
        certificate = self._wire.certificate
        specs: dict[str, Tree] = {}
        for name in self.names:
            peers = self._peers(name)
            specs[name] = {
                "party": name,
                # Another machine looks a name up among what is installed there, and imports nothing else.
                "scheme": self.scheme.name if name in elsewhere else target_of(type(self.scheme)),
                "options": {key: _listed(value) for key, value in self.scheme.options().items()},
                "task": dataclasses.asdict(self.facts),
                "record_view": self._record_view,
                "peers": peers,
                "authenticated": self._wire.crosses_network,
                "tls": certificate is not None,
                "certificate": None if certificate is None or name in elsewhere else str(certificate),
                "accepts": [peer for peer in peers if rank(peer) > rank(name)],
                "hosts": dict(self._wire.hosts(name)),
                "interfaces": dict(self._wire.interfaces(name)),
            }
        if not self._wire.dials():
            self._ask("spec", specs)
            return
        listening = self._ask("spec", specs, reply="listening")
        self._ask(
            "connect",
            {
                name: {peer: listening[peer] for peer in specs[name]["peers"] if rank(peer) < rank(name)}
                for name in self.names
            },
        )

    def _peers(self, name: str) -> list[str]:
        """Those with whom a party has a channel."""
        return [b if a == name else a for a, b in self._pairs if name in (a, b)]

    def _ask(self, word: str, trees: Mapping[str, Tree], reply: str = "done") -> dict[str, Tree]:
        """Say a word to some parties and wait until each has replied, dropped out, or one has failed."""
        try:
            for name, tree in trees.items():
                try:
                    control.send(self._inboxes[name].connection, word, tree, self._ends_at_s)
                except PeerGone:
                    continue  # its end is read, and judged, below
            replies = self._replies(set(trees), reply)
        except TimeoutError:
            raise self._late(trees) from None
        if word not in _OF_A_STAGE:
            self._witness.barrier_ended()
        return replies

    def _replies(self, awaited: set[str], reply: str) -> dict[str, Tree]:
        replies: dict[str, Tree] = {}
        failures: list[tuple[bool, str]] = []
        until_s = self._ends_at_s
        serving = self._serving()
        # Those who serve owe no word, but may be what all the others complain of.
        while awaited or (failures and serving):
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                if failures:
                    break
                raise self._late(awaited)
            if self._memory_bytes is not None:
                self._check_memory(self._wire.resident_bytes())
                left_s = min(left_s, _GLANCE_S)
            for name in self._readable(awaited | serving, left_s):
                kind, text, tree = self._hear(name, reply)
                if kind == "waits":
                    continue
                awaited.discard(name)
                if kind == "replied":
                    replies[name] = tree
                    continue
                serving.discard(name)
                if kind != "garbled" and self._may_drop_out(name):
                    self._drop(name, text)
                else:
                    failures.append((kind == "follows", f"{name} failed in {self._stage}: {text}"))
            if failures:
                if not all(follows for follows, _ in failures):
                    break
                # A closed channel follows from somebody else's failure, which is about to be heard of.
                until_s = min(until_s, time.monotonic() + _ROOT_CAUSE_S)
        if failures:
            raise JobFailed(min(failures)[1])
        return replies

    def _may_drop_out(self, name: str) -> bool:
        """Once all have met: before that, others wait for it."""
        return self.scheme.card.tolerates_dropouts and role_of(name) == PARTICIPANT and self._stage != "start"

    def _drop(self, name: str, how: str) -> None:
        self.dropped[name] = f"dropped out in {self._stage}: {how}"
        if all(member in self.dropped for member in self._group_of(name)):
            self._wire.end(name)

    def _group_of(self, name: str) -> list[str]:
        """All parties of one process."""
        return next(group for group in self._groups if name in group)

    def _check_memory(self, held: Mapping[str, int]) -> None:
        """Raise JobFailed for a party that holds more than it may.

        Resident memory is looked at from outside, again and again, and the peak at the end of each stage: the kernel's
        own limits are of what is reserved, a multiple of what an engine ever touches.
        """
        for name, n_bytes in held.items():
            if self._memory_bytes is not None and n_bytes > self._memory_bytes and name not in self.dropped:
                raise JobFailed(
                    f"{', '.join(self._group_of(name))} held {size(n_bytes)} in {self._stage}, "
                    f"more than the {size(self._memory_bytes)} of measure.memory_bytes"
                )

    def _serving(self) -> set[str]:
        """Those who may fail at any time, also while no word is awaited from them."""
        if self._stage in ("start", "release"):
            return set()
        return {name for name in self.living if self.scheme.roles[role_of(name)].takes_part_in("serve")}

    def _hear(self, name: str, reply: str) -> tuple[str, str, Tree]:
        """What came from a party: what happened, reason, tree.

        What happened is `waits`, `replied`, `left`, `failed`, `follows` if it failed for want of a peer, `died`, or
        `garbled` where it says what no party says.
        """
        inbox = self._inboxes[name]
        try:
            words = inbox.arrived()
        except ProtocolError as error:
            return "garbled", str(error), None
        # A role that serves may fail while its party replies: both words are here, and the failure counts.
        for word, tree in sorted(words, key=lambda said: said[0] != "failed"):
            if word == "failed":
                return ("follows" if tree["follows"] else "failed"), tree["reason"] + told(self._wire.log(name)), None
            if word == "left":
                allowed = "" if self._may_drop_out(name) else ", which the card does not tolerate"
                return "left", f"it left{allowed}", None
            if word == reply:
                return "replied", "", tree
            return "garbled", f"it said '{word}' instead of '{reply}'", None
        if inbox.connection.ended:
            return "died", self._ending(name) + self._wire.traceback(name), None
        return "waits", "", None

    def _ending(self, name: str) -> str:
        """How a party ended that has hung up; who shares its process ends with it, whoever of them was at fault."""
        how = self._wire.state(name, wait_s=1.0)
        neighbours = [member for member in self._group_of(name) if member != name]
        return f"{how}, in one process with {', '.join(neighbours)}" if neighbours else how

    def _readable(self, names: set[str], timeout_s: float) -> list[str]:
        poller = select.poll()
        by_handle = {self._inboxes[name].connection.fileno(): name for name in names}
        for handle in by_handle:
            poller.register(handle, select.POLLIN)
        return [by_handle[handle] for handle, _ in poller.poll(max(1, int(timeout_s * 1000)))]

    def _late(self, awaited: Iterable[str]) -> JobFailed:
        # One that owes no word, such as a dealer, may be what the others wait for.
        owing, states = set(awaited), {name: self._wire.state(name) for name in sorted(self.living, key=rank)}
        told = ", ".join(f"{name} ({state})" for name, state in states.items() if name in owing or state == "stopped")
        return JobFailed(f"the deadline of {self._deadline_s:g} s passed in {self._stage}, waiting for {told}")


def _interpreter(scheme: Scheme) -> Interpreter:
    own = scheme.interpreter()
    if own is None:
        return Interpreter()
    # What the scheme inherits from may be in another package than itself.
    ancestry = [cls for cls in type(scheme).__mro__ if issubclass(cls, Scheme)]
    return Interpreter(str(own), tuple(sorted({cls.__module__.partition(".")[0] for cls in ancestry})))


def _names(scheme: Scheme, n_participants: int) -> list[str]:
    names = [role for role in scheme.active_roles() if role != PARTICIPANT]
    names += [participant_name(i) for i in range(n_participants)]
    return sorted(names, key=rank)


def _groups(names: Sequence[str], participants_per_process: int) -> list[list[str]]:
    participants = [name for name in names if role_of(name) == PARTICIPANT]
    alone = [[name] for name in names if role_of(name) != PARTICIPANT]
    step = participants_per_process
    return alone + [participants[i : i + step] for i in range(0, len(participants), step)]


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
