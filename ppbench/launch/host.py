"""The process that a party lives in: `python -m ppbench.launch.host --connect HOST:PORT --token-file FILE PARTY...`.

It does what the harness says, word by word: spec, connect, load, then stage and count by turns, then release; renew
after a rehearsal.
Several light participants may share one process, each in a thread of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import faulthandler
import functools
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppbench.bundle import Array, Tree
from ppbench.errors import PeerGone, PpbenchError, ProtocolError, message
from ppbench.instructions import COUNTERS
from ppbench.instructions.counter import Counter
from ppbench.launch import confine, enter
from ppbench.launch.joining import HARNESS
from ppbench.launch.reports import CountedConnection, Counts, StageReport, Traffic
from ppbench.launch.training_rounds import TrainingRounds
from ppbench.meter import Meter
from ppbench.options import typed_fields
from ppbench.party import Leaving, Party, role_of
from ppbench.plugin import resolve
from ppbench.process import die_with_parent
from ppbench.scheme import COORDINATOR, PARTICIPANT, Batch, Role, Scheme, Shard, TaskFacts
from ppbench.wire import control, engine, handshake, interfaces
from ppbench.wire.channel import Channel, CriticalPath, View
from ppbench.wire.connection import PATIENCE_S, Connection
from ppbench.wire.handshake import Introduced
from ppbench.wire.reception import Reception

if TYPE_CHECKING:
    from ppbench.wire.tls import Certificate, Encryption

_SERVE_ENDS_S = 10.0


class Host:
    """Runs one party at the word of the harness."""

    def __init__(
        self,
        connection: Connection,
        own_process: bool,
        run_key: bytes = b"",
        sockets: dict[str, socket.socket] | None = None,
        log: Path | None = None,
        scheme_of: Callable[[str], type[Scheme]] = resolve,
        keep_sockets: Callable[[], None] = lambda: None,
        counter: Counter | None = None,
    ):
        """A party meets the others over `sockets`, or connects to them with keys that are derived from `run_key`.

        `log` is where a traceback goes; None: what the process prints is the log. `scheme_of` finds what the harness
        calls a scheme. `keep_sockets` is called, once all parties have met, if the role opens no socket of its own.
        `counter` counts the process's instructions.
        """
        self._run_key = run_key
        self._scheme_of = scheme_of
        self._keep_sockets = keep_sockets
        self._log = log
        self._control = connection
        self._inbox = control.Inbox(connection)
        self._control_lock = threading.Lock()
        self._meter = Meter(own_process, counter)
        self._slow_down = counter.slow_down if counter else 1.0
        self._own_process = own_process
        self._sockets = sockets
        self._serving: threading.Thread | None = None
        self._samples: Array | None = None
        self._shard: Shard | None = None
        self._scheme: Scheme | None = None
        self._interfaces: dict[str, str] = {}
        self._connections: list[Connection] = []
        self._new_party: Callable[[], Party]
        self._party: Party
        self._role: Role[Any]
        self._unused_rss_bytes: int | None = None

    def run(self) -> bool:
        """Follow the harness to its release; False if this party failed or left, which the harness has been told."""
        words: dict[str, Callable[[Tree], Tree]] = {
            "spec": self._spec,
            "load": self._load,
            "stage": self._stage,
            "renew": self._renew,
            "count": self._count,
            "release": self._release,
        }
        try:
            while True:
                word, tree = self._inbox.receive()
                if word not in words:
                    raise ProtocolError(f"the harness says '{word}', which is none of {', '.join(words)}")
                self._say("done", words[word](tree))
                if word == "release":
                    return True
        # `sys.exit` too is this party's end alone: others may live in this process.
        except BaseException as error:
            self._end(error)
            return False

    def _end(self, error: BaseException) -> None:
        """Tell the harness why, and hang up on everybody else, who may wait for this party."""
        if isinstance(error, Leaving):
            with contextlib.suppress(PpbenchError):
                self._say("left")
        else:
            self._fail(error)
        for connection in self._connections:
            connection.close()

    def _say(self, word: str, tree: Tree = None) -> None:
        with self._control_lock:
            control.send(self._control, word, tree)

    def _fail(self, error: BaseException) -> None:
        if self._log is None:
            traceback.print_exception(error)
        else:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("a") as log:
                traceback.print_exception(error, file=log)
        reason = message(error).strip().splitlines() or [""]
        kind = "" if isinstance(error, PpbenchError) else f"{type(error).__name__}: "
        known = self._lacks(error) if isinstance(error, ModuleNotFoundError) else _wants_a_socket(error)
        with contextlib.suppress(PpbenchError):
            self._say("failed", {"reason": known or kind + reason[0], "follows": isinstance(error, PeerGone)})

    def _lacks(self, error: ModuleNotFoundError) -> str | None:
        """The harness has checked what is installed on its own machine, and a party may live on another."""
        if self._scheme is None or (need := self._scheme.requires.get(error.name or "")) is None:
            return None
        return f"'{self._scheme.name}' needs what is not installed there: pip install '{need}'"

    def _spec(self, spec: Tree) -> Tree:
        """Build the role, and meet the other parties: lower ranks listen, higher ranks connect."""
        kind = self._scheme_of(spec["scheme"])
        scheme = kind(**typed_fields(kind, "scheme", spec["options"]))
        self._scheme = scheme
        name: str = spec["party"]
        self._interfaces = spec["interfaces"]
        self._role = scheme.roles[role_of(name)](scheme)
        path, view = CriticalPath(), View() if spec["record_view"] else None
        on_path = _on_critical_path(scheme)
        channels = {}
        for peer, connection in self._meet(name, spec).items():
            ends = role_of(name), role_of(peer)
            counted = path if all(on_path[role] for role in ends) else None
            channels[peer] = Channel(peer, connection, counted, view, int(PARTICIPANT in ends))
            # Or it would hang on the machine how often a party looks after its other peers.
            connection.wait_for(PATIENCE_S * self._slow_down)
        facts = dict(spec["task"], sample_shape=tuple(spec["task"]["sample_shape"]))
        opens_sockets = self._role.opens_sockets
        known = (name, TaskFacts(**facts), channels, path, view, self._own_process, spec["hosts"], opens_sockets)
        self._new_party = functools.partial(Party, *known)
        self._party = self._new_party()
        return None

    def _renew(self, tree: Tree) -> Tree:
        """Put a role and a party in place that know nothing of what the process has done so far."""
        self._role.close(self._party)
        self._role = type(self._role)(self._role.scheme)
        self._party = self._new_party()
        return None

    def _meet(self, name: str, spec: Tree) -> dict[str, Connection]:
        if self._sockets is not None:
            return {peer: Connection(sock, self._connections) for peer, sock in self._sockets.items()}
        peers: list[str] = spec["peers"]
        keys = {peer: handshake.pair_key(self._run_key, name, peer) for peer in peers}
        awaited = set(spec["accepts"])
        hosts: Mapping[str, str] = spec["hosts"]
        encryption, certificate = _tls(spec)
        with socket.create_server((hosts[name], 0), backlog=max(1, len(awaited))) as listener:
            self._say("listening", listener.getsockname()[1])
            word, ports = self._inbox.receive()
            if word != "connect":
                raise ProtocolError(f"the harness says '{word}' instead of 'connect'")
            met: dict[str, Introduced] = {}
            for peer, port in ports.items():
                met[peer] = handshake.connect((hosts[peer], port), name, peer, keys[peer], encryption)

            def key_of(peer: str) -> bytes | None:
                return keys[peer] if peer in awaited else None

            with contextlib.closing(Reception(listener, name, key_of, len(awaited), certificate)) as reception:
                while awaited:
                    if admitted := reception.admit(None):
                        _, one = admitted
                        awaited.remove(one.name)
                        met[one.name] = one
        return {peer: met[peer].connection(spec["authenticated"], self._connections) for peer in peers}

    def _load(self, owned: Tree) -> Tree:
        """The samples this party owns: they are its storage, not part of any stage.

        Before the first one all parties have met, those in this process too.
        """
        if not self._role.opens_sockets:
            self._keep_sockets()
        self._samples = owned["samples"]
        if owned["shard"] is not None:
            self._shard = Shard(owned["shard"]["samples"], owned["shard"]["labels"])
        return None

    def _stage(self, tree: Tree) -> Tree:
        """Run one stage of the role, metered from here to its end."""
        stage: str = tree["stage"]
        for channel in self._party.channels.values():
            channel.cpu_ns = 0
        self._meter.start()
        done = StageReport()
        self._party.engine_bytes = None
        if stage == "setup":
            self._once(stage, done, lambda: self._role.setup(self._party, tree["artifacts"]))
            if self._role.takes_part_in("serve"):
                self._start_serving()
        elif stage == "train":
            self._once(stage, done, lambda: self._train(done))
        elif stage in ("offline", "online"):
            self._batches(stage, tree["plan"], done)
        else:
            raise ProtocolError(f"there is no stage '{stage}'")
        done.cost, done.channel_cpu_s = self._meter.read(), self._party.channel_cpu_s
        if stage == "setup":
            # What a rehearsal left in memory the scheme has taken as well.
            self._unused_rss_bytes = self._unused_rss_bytes or done.cost.start_rss_bytes
            done.cost = dataclasses.replace(done.cost, start_rss_bytes=self._unused_rss_bytes)
        done.published, self._party.published = self._party.published, {}
        done.engine_bytes = self._party.engine_bytes
        return done.to_tree()

    def _once(self, stage: str, done: StageReport, run: Callable[[], None]) -> None:
        """A stage without batches: the depth begins anew with it, but not for who answers others in it all the same."""
        if self._role.takes_part_in(stage):
            self._party.path.depth = 0
            run()
            done.rounds = self._party.path.depth

    def _train(self, done: StageReport) -> None:
        rounds = TrainingRounds(self._party, self._meter)
        self._party.training = rounds.ended
        self._role.train(self._party, self._shard)
        self._party.training = None
        done.training_rounds = rounds.reports

    def _batches(self, stage: str, plan: list[list[Any]], done: StageReport) -> None:
        if not self._role.takes_part_in(stage):
            return
        name = self._party.name
        run = self._role.online if stage == "online" else self._role.offline
        for index, (owner, start, stop) in enumerate(plan):
            mine = owner == name
            if role_of(name) == PARTICIPANT and not mine:
                continue
            samples = self._samples[start:stop] if mine and stage == "online" and self._samples is not None else None
            batch = Batch(index, stop - start, samples)
            self._party.begin(owner, batch)
            began = time.perf_counter()
            try:
                run(self._party, batch)
            except PeerGone:
                if not self._role.scheme.card.tolerates_dropouts or mine:
                    raise
                continue
            done.batch_wall_s.append((index, time.perf_counter() - began))
            done.rounds = max(done.rounds, self._party.path.depth)
            if self._party.guess is not None:
                done.guesses.append((owner, start, self._party.guess))
            if mine and stage == "online":
                if self._party.answered is None:
                    raise ProtocolError(f"{name} ended batch {index} without an answer")
                done.answers.append(self._party.answered)
                if self._party.logits is not None:
                    done.logits.append(self._party.logits)
        self._party.end()

    def _start_serving(self) -> None:
        def serve() -> None:
            try:
                self._role.serve(self._party)
            except BaseException as error:
                if not self._party.released:
                    self._end(error)

        self._serving = threading.Thread(target=serve, daemon=True)
        self._serving.start()

    def _count(self, tree: Tree) -> Tree:
        """Counters since the run began, read while nobody sends; and a serving party's cost of the stage."""
        channels: dict[str, Traffic] = {}
        waiting: dict[str, int] = {}
        known = {self._control.fileno()}
        packets = interfaces.counted(self._interfaces) if self._interfaces else {}
        for peer, channel in self._party.channels.items():
            known.add(channel.connection.fileno())
            if not (self._serving and self._serving.is_alive()):  # whose thread may be reading
                waiting[peer] = channel.connection.waiting()
            payload = vars(channel.payload())
            channels[peer] = Traffic(
                **vars(channel.counts),
                payload_bytes_sent=payload.pop("sent"),
                payload_bytes_received=payload.pop("received"),
                **payload,
                **packets.get(peer, {}),
            )
        return Counts(
            channels=channels,
            unacknowledged=interfaces.unacknowledged() if packets else 0,
            waiting=waiting,
            has_engine=self._party.uses_engine,
            engine=self._engine_sockets(known) if self._party.uses_engine else [],
            serving=self._cost_of_serving() if self._serving else None,
        ).to_tree()

    @staticmethod
    def _engine_sockets(known: set[int]) -> list[CountedConnection]:
        return [CountedConnection(**found) for found in engine.payload_by_socket(known)]

    def _cost_of_serving(self) -> StageReport:
        return StageReport(self._meter.read(), self._party.channel_cpu_s, cpu_is_known=self._own_process)

    def _release(self, tree: Tree) -> Tree:
        """The end: let `serve` come home, close the role, hand over the view."""
        self._party.released = True
        if self._serving:
            self._serving.join(_SERVE_ENDS_S)
        self._role.close(self._party)
        entries = self._party.view.entries if self._party.view else []
        return {"view": [{"from": source, "name": name, "arrays": list(arrays)} for source, name, arrays in entries]}


def _wants_a_socket(error: BaseException) -> str | None:
    """What `confine.keep_sockets` has refused, in words."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, PermissionError) and frames and frames[-1].filename == socket.__file__:
        return "it opens a socket beside its channels, and its role does not say opens_sockets = True"
    return None


def rank(name: str) -> tuple[int, str]:
    """Who listens and who connects: a party connects to all of lower rank, so a device only ever calls out."""
    return {COORDINATOR: 1, PARTICIPANT: 2}.get(role_of(name), 0), name


def _on_critical_path(scheme: Scheme) -> dict[str, bool]:
    return {role: cls.on_critical_path for role, cls in scheme.roles.items()}


def _tls(spec: Tree) -> tuple[Encryption | None, Certificate | None]:
    """What a party of this run needs to connect and to listen, if channels are encrypted."""
    if not spec["tls"]:
        return None, None
    from ppbench.wire.tls import Certificate, Encryption

    return Encryption(), Certificate(Path(spec["certificate"])) if spec["certificate"] else None


def _registered(name: str) -> type[Scheme]:
    """The scheme that is installed here under a name: of what a network says, no module is imported."""
    from ppbench.registry import SCHEMES

    return SCHEMES.load(name)


def main(arguments: list[str] | None = None) -> int:
    """Connect each named party to the harness and run it to its end."""
    parser = argparse.ArgumentParser(prog="python -m ppbench.launch.host", description=__doc__)
    parser.add_argument("--connect", required=True, metavar="HOST:PORT|unix:PATH")
    parser.add_argument("--token-file", required=True, type=Path)
    parser.add_argument(
        "--remote", action="store_true", help="the harness is on another machine: trust what is authenticated alone"
    )
    parser.add_argument("--tls", action="store_true", help="the harness speaks TLS")
    parser.add_argument("--network", action="append", default=[], metavar="PARTY=DESCRIPTOR", help="a namespace")
    parser.add_argument("--instructions", choices=COUNTERS, help="what counts them, where they are to be counted")
    parser.add_argument("parties", nargs="+", metavar="PARTY")
    parsed = parser.parse_args(arguments)
    die_with_parent()
    faulthandler.enable()  # a crash in an engine leaves a traceback too
    host, _, port_or_path = parsed.connect.rpartition(":")
    run_key = bytes.fromhex(parsed.token_file.read_text().strip())
    scheme_of = _registered if parsed.remote else resolve
    alone = len(parsed.parties) == 1
    networks: dict[str, str] = dict(network.split("=") for network in parsed.network)
    counter = COUNTERS[parsed.instructions]() if parsed.instructions else None
    outcomes: list[bool] = []
    keep_sockets = functools.cache(confine.keep_sockets)

    def run(name: str) -> None:
        if name in networks:
            enter.enter(int(networks[name]))
        if host == "unix":
            harness = handshake.connect_locally(port_or_path, name, HARNESS, run_key)
        else:
            encryption, _ = _tls({"tls": parsed.tls, "certificate": None})
            harness = handshake.connect((host, int(port_or_path)), name, HARNESS, run_key, encryption)
        connection = harness.connection(authenticated=parsed.remote)
        served = Host(connection, alone, run_key, scheme_of=scheme_of, keep_sockets=keep_sockets, counter=counter)
        outcomes.append(served.run())

    if alone:
        run(parsed.parties[0])
    else:
        threads = [threading.Thread(target=run, args=(name,), daemon=True) for name in parsed.parties]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    # An engine's own threads must not keep a finished party alive.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if len(outcomes) == len(parsed.parties) and all(outcomes) else 1)


if __name__ == "__main__":
    sys.exit(main())
