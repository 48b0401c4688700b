"""An engine with a socket of its own: nothing of its traffic goes through channels, and all of it is counted."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import time
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.errors import PeerGone
from ppbench.models.network import Network
from ppbench.party import Party
from ppbench.scheme import Batch, Role, Scheme, SchemeCard
from tests.sketches.common import toy_card

MASK = 0x5A
_PATIENCE_S = 10.0


class Engine:
    """Stands for CrypTen or SPU: it meets its peer at an address, and is silent about what it sends."""

    def __init__(self, address: tuple[str, int], listens: bool) -> None:
        if listens:
            with socket.create_server(address) as listener:
                listener.settimeout(_PATIENCE_S)
                self.socket, _ = listener.accept()
        else:
            self.socket = self._connect(address)
        self.socket.settimeout(None)

    def send(self, values: Array) -> None:
        self.socket.sendall(values.tobytes())

    def receive(self, n_bytes: int) -> Array:
        received = bytearray()
        while len(received) < n_bytes:
            part = self.socket.recv(n_bytes - len(received))
            if not part:
                raise PeerGone("the engine's peer is gone")
            received += part
        return np.frombuffer(received, np.uint8)

    def _connect(self, address: tuple[str, int]) -> socket.socket:
        until_s = time.monotonic() + _PATIENCE_S
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                return socket.create_connection(address)
            if time.monotonic() > until_s:
                raise PeerGone("the engine's peer never came")
            time.sleep(0.01)


class Participant(Role["WithEngine"]):
    """The IoT device: its engine sends masked samples."""

    opens_sockets = True

    def setup(self, party: Party, artifacts: Tree) -> None:
        self.engine = Engine(party.engine(party.coordinator), listens=False)

    def online(self, party: Party, batch: Batch) -> None:
        party.task.unit(batch.samples)
        self.engine.send(batch.samples ^ MASK)
        labels = self.engine.receive(batch.size)
        party.observe("labels", labels)
        party.count_rounds(2)
        party.count_engine_bytes(batch.samples.size + batch.size)
        party.answer(labels)

    def close(self, party: Party) -> None:
        self.engine.socket.close()


class Coordinator(Role["WithEngine"]):
    """The cloud: its engine receives them."""

    opens_sockets = True

    def setup(self, party: Party, artifacts: Tree) -> None:
        self.network = Network.from_tree(artifacts["model"])
        self.engines = {}
        for participant in party.participants:
            self.engines[participant.peer] = Engine(party.engine(participant), listens=True)

    def online(self, party: Party, batch: Batch) -> None:
        engine = self.engines[party.participant.peer]
        masked = engine.receive(batch.size * party.task.dimension).reshape(batch.size, -1)
        party.observe("masked samples", masked)
        engine.send(self.network(party.task.unit(masked ^ MASK)).argmax(axis=1).astype(np.uint8))

    def close(self, party: Party) -> None:
        for engine in self.engines.values():
            engine.socket.close()


@dataclasses.dataclass(frozen=True)
class WithEngine(Scheme):
    """Inference by an engine that owns its sockets."""

    name: ClassVar[str] = "sketch_engine"
    title: ClassVar[str] = "sketch: an engine with sockets of its own"
    card: ClassVar[SchemeCard] = toy_card("An engine of its own", "CrypTen, NeurIPS'21")
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}
