"""A scheme whose roles report on themselves: same card, options and protocol, watched from inside each party.

Every party finds the watched class by name, as it finds any scheme: `ppbench.testing.probe:FAULT|MODULE:CLASS`.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.launch import confine
from ppbench.party import Party
from ppbench.plugin import resolve, target_of
from ppbench.scheme import PARTICIPANT, Batch, Role, Scheme, Shard
from ppbench.testing.watch import Audit, changed, global_state, open_sockets
from ppbench.wire import engine
from ppbench.wire.message import encode

REPORT = "ppbench.testing"
"""Under this name a report is published, and kept in the view."""

WATCHED = "watched"
KILLED = "killed"
"""The last participant kills itself when its most telling stage begins."""
MISSHAPEN = "misshapen"
"""The samples of the first participant have one value too many."""

_STAGES = ("setup", "train", "offline", "online")
_TELLING = ("train", "online", "offline", "setup")


def probed(scheme: Scheme, fault: str = WATCHED) -> Scheme:
    """The same scheme with the same options, watched, and with a fault if one is named."""
    watched: Scheme = _probed_class(f"{fault}|{target_of(type(scheme))}")(**scheme.options())
    return watched


def fault_stage(scheme: type[Scheme] | Scheme, fault: str) -> str | None:
    """The stage in which a fault shows, None if no participant takes part in any that could show it."""
    stages = ("train", "online") if fault == MISSHAPEN else _TELLING
    return next((stage for stage in stages if scheme.roles[PARTICIPANT].takes_part_in(stage)), None)


def __getattr__(name: str) -> Any:
    if "|" not in name:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return _probed_class(name)


@functools.cache
def _probed_class(name: str) -> Any:
    fault, _, target = name.partition("|")
    inner: type[Scheme] = resolve(target)

    roles = {
        role: _probed_role(cls, fault_stage(inner, fault) if role == PARTICIPANT else None, fault)
        for role, cls in inner.roles.items()
    }
    return type(
        inner.__name__,
        (inner,),
        {"__module__": __name__, "__qualname__": name, "roles": roles},
    )


def _probed_role(role: type[Role[Any]], faulty_stage: str | None, fault: str) -> type[Role[Any]]:
    methods: dict[str, Any] = {
        stage: _watched(role, stage, fault if stage == faulty_stage else WATCHED)
        for stage in _STAGES
        if stage == "setup" or role.takes_part_in(stage)
    }
    if role.takes_part_in("serve"):
        methods["serve"] = _serving(role)
    methods["close"] = _closing(role)
    return type(role.__name__, (role,), methods)


def _watched(role: type[Role[Any]], stage: str, fault: str) -> Callable[..., None]:
    def run(self: Any, party: Party, given: Any) -> None:
        probe = _probe(self, party)
        if fault == KILLED and party.index == party.task.n_participants - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        with probe.stage(stage):
            getattr(role, stage)(self, party, _misshapen(given) if fault == MISSHAPEN and party.index == 0 else given)
        probe.report()

    return run


def _serving(role: type[Role[Any]]) -> Callable[..., None]:
    def serve(self: Any, party: Party) -> None:
        with _probe(self, party).audit.role():
            role.serve(self, party)

    return serve


def _closing(role: type[Role[Any]]) -> Callable[..., None]:
    def close(self: Any, party: Party) -> None:
        probe = _probe(self, party)
        with probe.stage("close"):
            role.close(self, party)
        probe.report(keep=True)

    return close


def _misshapen(given: Any) -> Any:
    if isinstance(given, Shard):
        return Shard(_wider(given.samples), given.labels)
    return Batch(given.index, given.size, _wider(given.samples))


def _wider(samples: Array) -> Array:
    return np.concatenate([samples, samples[:, :1]], axis=1)


def _probe(role: Any, party: Party) -> Probe:
    probe: Probe | None = getattr(role, "_ppbench_probe", None)
    if probe is None:
        probe = role._ppbench_probe = Probe(party)
    return probe


class Probe:
    """What one party's role was seen to do."""

    def __init__(self, party: Party) -> None:
        self.party = party
        self.audit = _audit()
        self._known_descriptors = set(open_sockets().values())
        self._answers: list[list[int]] = []
        self._facts: dict[str, Any] = {
            "pid": os.getpid(),
            "session": os.getsid(0),
            "command": sys.orig_argv,
            "changes": {},
            "late_imports": {},
            "engine_bytes_received": 0,
        }

    @contextlib.contextmanager
    def stage(self, stage: str) -> Iterator[None]:
        """Inside, role code runs; afterwards its traces are noted."""
        before, loaded = global_state(), set(sys.modules)
        with self.audit.role():
            yield
        for module in sorted({name.partition(".")[0] for name in sys.modules.keys() - loaded}):
            self._facts["late_imports"].setdefault(module, stage)
        for name in changed(before, global_state()):
            self._facts["changes"].setdefault(name, stage)
        if stage != "close":  # which closes its engine's sockets, and its peers' do
            self._note_engine()
        if stage == "online" and self.party.answered is not None:
            self._answers.append(self.party.answered.tolist())

    def report(self, keep: bool = False) -> None:
        """Hand the report to the harness as a published result; with `keep`, in the view, if there is one."""
        report = {
            **self._facts,
            "uses_engine": self.party.uses_engine,
            "sockets": self.audit.sockets,
            "files": self.audit.files,
            "prying": self.audit.prying,
            "answers": self._answers,
            "traffic": {peer: vars(channel.counts) for peer, channel in self.party.channels.items()},
            "frame_bytes_sent": self._frames("frame_bytes_sent"),
            "frame_bytes_received": self._frames("frame_bytes_received"),
            "frame_bytes_in_view": self._in_view(),
        }
        packed = np.frombuffer(json.dumps(report).encode(), np.uint8)
        if not keep:
            self.party.publish(REPORT, packed)
        elif self.party.view is not None:
            self.party.view.add(REPORT, REPORT, (packed,))

    def _frames(self, counter: str) -> dict[str, int]:
        return {peer: getattr(channel.connection, counter) for peer, channel in self.party.channels.items()}

    def _in_view(self) -> dict[str, int]:
        """What the messages in the view were on the wire, in bytes by peer."""
        sizes = dict.fromkeys(self.party.channels, 0)
        for source, name, arrays in self.party.view.entries if self.party.view else ():
            if source in sizes:
                sizes[source] += sum(memoryview(buffer).nbytes for buffer in encode(name, arrays))
        return sizes

    def _note_engine(self) -> None:
        if self.party.uses_engine:
            counted = engine.payload_by_socket(self._known_descriptors)
            self._facts["engine_bytes_received"] = sum(connection["received"] for connection in counted)


@functools.cache
def _audit() -> Audit:
    return Audit(confine.hidden())


def unpack(packed: Array) -> Tree:
    """The report that a party handed over."""
    return json.loads(packed.tobytes())
