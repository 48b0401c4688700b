"""Starts and ends the relay that shapes the links of a network of namespaces."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import select
import subprocess
import time
from pathlib import Path

from ppbench.errors import PeerGone
from ppbench.launch.namespace_network import NamespaceNetwork
from ppbench.launch.relay import Shape
from ppbench.party import role_of
from ppbench.process import Interpreter, environment, kill_session, start_session
from ppbench.scheme import PARTICIPANT

_ENDS_S = 2.0


class RelayProcess:
    """A context: inside it the relayed pairs of a network have links of a shape, each one of its own."""

    def __init__(self, network: NamespaceNetwork, shape: Shape, log: Path, deadline_s: float) -> None:
        self._network = network
        self._shape = shape
        self._log = log
        self._deadline_s = deadline_s

    def __enter__(self) -> RelayProcess:
        """Start it. Raises PeerGone if it ends at once, TimeoutError at the deadline on the monotonic clock."""
        inside = (self._network.user, self._network.relay)
        with open(self._log, "ab") as log:
            self._process = start_session(
                self._network.command(Interpreter(), "ppbench.launch.relay", *inside),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment(threads=1),
                pass_fds=inside,
            )
        try:
            self._await_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """End it; what it dropped is in its log."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDS_S)
        kill_session(self._process)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _await_ready(self) -> None:
        plan, answer = self._process.stdin, self._process.stdout
        assert plan is not None
        assert answer is not None
        with contextlib.suppress(BrokenPipeError):  # if it has ended, as is read below
            plan.write(json.dumps(self._pairs()).encode())
            plan.close()
        if not select.select([answer], (), (), max(0.0, self._deadline_s - time.monotonic()))[0]:
            raise TimeoutError
        if not answer.readline():
            raise PeerGone(f"the relay that shapes links ended before it forwarded anything: see {self._log}")

    def _pairs(self) -> list[list[object]]:
        shape = dataclasses.asdict(self._shape)
        pairs: list[list[object]] = []
        for (one, _), (to_one, to_other) in self._network.relay_ends.items():
            ends = (to_one, to_other) if role_of(one) == PARTICIPANT else (to_other, to_one)
            pairs.append([*ends, shape])
        return pairs
