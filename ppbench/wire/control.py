"""What harness and party say to each other: a word and a tree, framed as every message is."""

from __future__ import annotations

import json

import numpy as np

from ppbench import bundle
from ppbench.bundle import Tree
from ppbench.errors import ProtocolError
from ppbench.wire.connection import Connection
from ppbench.wire.message import decode, encode

_MOST_ARRAYS = 254


def send(connection: Connection, word: str, tree: Tree = None, deadline_s: float | None = None) -> None:
    """Send a tree; one of many arrays goes as several frames. Raises PeerGone, or TimeoutError at the deadline."""
    skeleton, arrays = bundle.flatten(tree)
    text = np.frombuffer(json.dumps([skeleton, len(arrays)]).encode(), np.uint8)
    first, rest = arrays[:_MOST_ARRAYS], arrays[_MOST_ARRAYS:]
    connection.send(encode(word, [text, *first])[0], deadline_s)
    while rest:
        part, rest = rest[:_MOST_ARRAYS], rest[_MOST_ARRAYS:]
        connection.send(encode(word, part)[0], deadline_s)


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

    def _add(self, frame: bytearray) -> tuple[str, Tree] | None:
        message = decode(frame)
        arrays = list(message.arrays)
        if not self._missing:
            try:
                self._skeleton, n_arrays = json.loads(arrays.pop(0).tobytes())
                self._word, self._arrays, self._missing = message.name, [], int(n_arrays)
            except (IndexError, TypeError, ValueError) as error:
                raise ProtocolError(f"'{message.name}' is no word of the harness ({error})") from error
        self._arrays += arrays
        self._missing -= len(arrays)
        if self._missing > 0:
            return None
        self._missing = 0
        try:
            return self._word, bundle.unflatten(self._skeleton, self._arrays)
        except ValueError as error:
            raise ProtocolError(f"'{self._word}' has no readable tree ({error})") from error
