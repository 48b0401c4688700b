"""The only way out of a party: typed messages to one other party, counted where they pass."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np

from ppbench.bundle import Array, Tree, flatten, unflatten
from ppbench.errors import PeerGone, ProtocolError
from ppbench.wire.connection import Connection, PayloadBytes
from ppbench.wire.message import ROUNDS_IN_FRAME, Message, as_array, decode, encode, n_bytes, text_of


class CriticalPath:
    """How deep a party stands on the critical path of the batch in hand, or of the setup or training it is in.

    Each message carries its sender's depth plus one, and who receives it stands at least that deep. Two messages
    in a row, or two parties sending at once, share a round; a request and its answer are two.
    """

    depth = 0

    def reach(self, round_in_frame: int) -> None:
        """Stand at least as deep as a received message says, which has no room for more than the depth's last bits."""
        ahead = (round_in_frame - self.depth) % ROUNDS_IN_FRAME
        if ahead < ROUNDS_IN_FRAME // 2:
            self.depth += ahead


@dataclasses.dataclass
class MessageCounts:
    """What went over one channel, since it was made."""

    messages_sent: int = 0
    messages_received: int = 0
    message_bytes_sent: int = 0
    message_bytes_received: int = 0


class View:
    """All that one party received or observed, in order, when the job asks for views."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, tuple[Array, ...]]] = []

    def add(self, source: str, name: str, arrays: tuple[Array, ...]) -> None:
        """Keep a copy of what came from `source`."""
        self.entries.append((source, name, tuple(np.array(array) for array in arrays)))


class Channel:
    """Messages to and from one peer."""

    def __init__(
        self,
        peer: str,
        connection: Connection,
        path: CriticalPath | None = None,
        view: View | None = None,
        step: int = 1,
    ) -> None:
        """`step` is what a message adds to the depth: 0 where it goes over no participant's link."""
        self.peer = peer
        self.connection = connection
        self.counts = MessageCounts()
        self.cpu_ns = 0
        """CPU time spent in this channel, by the threads that used it."""
        self._path = path
        self._view = view
        self._step = step

    def send(self, name: str, *arrays: Any) -> None:
        """Send arrays, or what numpy makes an array of, under a name.

        Raises PeerGone if the peer is, ProtocolError if the arrays cannot be framed.
        """
        start = time.thread_time_ns()
        depth = self._path.depth + self._step if self._path else 0
        typed = tuple(map(np.asarray, arrays))
        buffers = encode(name, typed, depth)
        # Ahead of the send: the peer may take the message and end the stage before a serving thread goes on.
        self.counts.messages_sent += 1
        self.counts.message_bytes_sent += n_bytes(typed)
        try:
            self.connection.send(buffers)
        except PeerGone as error:
            raise PeerGone(f"{name!r} could not be sent to {self.peer}: {error}") from error
        self.cpu_ns += time.thread_time_ns() - start

    def send_tree(self, name: str, tree: Tree) -> None:
        """Send a tree of plain values and up to 254 arrays, such as a network's, as one message."""
        skeleton, arrays = flatten(tree)
        self.send(name, as_array(skeleton), *arrays)

    def receive_tree(self, name: str) -> Tree:
        """What `send_tree` sent. Raises PeerGone or ProtocolError."""
        arrays = self.receive_many(name)
        try:
            return unflatten(text_of(arrays), arrays[1:])
        except ValueError as error:
            raise ProtocolError(f"{name!r} from {self.peer} is no tree ({error})") from error

    def receive(self, name: str) -> Array:
        """The one array of the next message, which must have this name. Raises PeerGone or ProtocolError."""
        arrays = self.receive_many(name)
        if len(arrays) != 1:
            raise ProtocolError(f"{name!r} from {self.peer} has {len(arrays)} arrays instead of 1")
        return arrays[0]

    def receive_many(self, name: str) -> tuple[Array, ...]:
        """All arrays of the next message, which must have this name. Raises PeerGone or ProtocolError."""
        message = self.receive_message()
        if message.name != name:
            raise ProtocolError(f"{name!r} is awaited from {self.peer}, which sent {message.name!r}")
        return message.arrays

    def receive_message(self) -> Message:
        """The next message, whatever its name. Raises PeerGone or ProtocolError."""
        start = time.thread_time_ns()
        try:
            message = decode(self.connection.receive())
        except (PeerGone, ProtocolError) as error:
            raise type(error)(f"nothing usable came from {self.peer}: {error}") from error
        if self._path:
            self._path.reach(message.round)
        self.counts.messages_received += 1
        self.counts.message_bytes_received += message.n_bytes
        self.cpu_ns += time.thread_time_ns() - start
        if self._view:
            self._view.add(self.peer, message.name, message.arrays)
        return message

    def arrived(self) -> bool:
        """Whether a whole message is here, after reading what has come without waiting. Raises ProtocolError."""
        start = time.thread_time_ns()
        try:
            if not self.connection.has_frame:
                self.connection.drain()
        except ProtocolError as error:
            raise ProtocolError(f"nothing usable came from {self.peer}: {error}") from error
        self.cpu_ns += time.thread_time_ns() - start
        return self.connection.has_frame

    def payload(self) -> PayloadBytes:
        """TCP payload since the connection was made; see `Connection.payload`."""
        return self.connection.payload()
