"""What harness and party say to each other: a word and a tree, framed as every message is."""

from __future__ import annotations

import json

from ppbench import bundle
from ppbench.bundle import Tree
from ppbench.errors import ProtocolError
from ppbench.wire.connection import Connection
from ppbench.wire.message import Buffer, Message, as_array, decode, encode, text_of

_MOST_ARRAYS = 254


def send(connection: Connection, word: str, tree: Tree = None, deadline_s: float | None = None) -> None:
    """Send a tree; one of many arrays goes as several frames. Raises PeerGone, or TimeoutError at the deadline."""
    skeleton, arrays = bundle.flatten(tree)
    text = as_array(json.dumps([skeleton, len(arrays)]))
    first, rest = arrays[:_MOST_ARRAYS], arrays[_MOST_ARRAYS:]
    connection.send(encode(word, [text, *first]), deadline_s)
    while rest:
        part, rest = rest[:_MOST_ARRAYS], rest[_MOST_ARRAYS:]
        connection.send(encode(word, part), deadline_s)


class Inbox:
    """Puts the frames of one connection together to words and trees."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._word = ""
        self._skeleton = ""
        self._missing = 0
        self._arrays: list[bundle.Array] = []

    def receive(self) -> tuple[str, Tree]:
        """The next word and tree, waiting for it. Raises PeerGone or ProtocolError."""
        while True:
            if (complete := self._add(self.connection.receive())) is not None:
                return complete

    def arrived(self) -> list[tuple[str, Tree]]:
        """The words and trees that are complete, without waiting. Raises ProtocolError."""
        complete = []
        self.connection.drain()
        while self.connection.has_frame:
            if (one := self._add(self.connection.receive())) is not None:
                complete.append(one)
        return complete

    def _add(self, frame: Buffer) -> tuple[str, Tree] | None:
        message = decode(frame)
        try:
            if self._missing:
                self._go_on(message)
            else:
                self._begin(message)
            if self._missing:
                return None
            return self._word, bundle.unflatten(self._skeleton, self._arrays)
        except (ValueError, RecursionError) as error:
            raise ProtocolError(f"{message.name!r} is no word of the harness ({error})") from error

    def _begin(self, message: Message) -> None:
        self._word = message.name
        self._skeleton, n_arrays = _beginning(text_of(message.arrays))
        self._arrays = list(message.arrays[1:])
        self._missing = n_arrays - len(self._arrays)
        if self._missing < 0:
            raise ValueError(f"{len(self._arrays)} arrays instead of {n_arrays}")

    def _go_on(self, message: Message) -> None:
        if message.name != self._word or not 0 < len(message.arrays) <= self._missing:
            raise ValueError(f"{len(message.arrays)} arrays where {self._missing} of {self._word!r} are missing")
        self._arrays += message.arrays
        self._missing -= len(message.arrays)


def _beginning(text: str) -> tuple[str, int]:
    """The skeleton of a tree and the number of its arrays. Raises ValueError."""
    match json.loads(text):
        case [str(skeleton), int(n_arrays)] if n_arrays >= 0:
            return skeleton, n_arrays
    raise ValueError("it begins with no skeleton")
