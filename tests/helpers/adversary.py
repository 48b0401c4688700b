"""Who sits between a device and the harness, hears all, and forwards what he likes; he knows no token."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
from collections.abc import Callable, Iterator

from ppbench.wire.authentication import TAG_BYTES
from ppbench.wire.message import SIZE_BYTES, frame_size

HOST = "127.0.0.2"
"""Where a device looks for the harness, and for the parties beside it."""
_TRUE_HOST = "127.0.0.1"
_HELLO_BYTES = 32
"""Of a nonce, and of a proof."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """A frame with its tag, on its way."""

    channel: str
    """Who opened the connection and to what: `device to harness`, `participant-0 to harness` or `... to party`."""
    to_device: bool
    number: int
    data: bytes


Does = Callable[[Seen], list[bytes]]


def nothing(seen: Seen) -> list[bytes]:
    return [seen.data]


class Adversary:
    """Stands in for the harness's port, and for each further one that he is told of."""

    def __init__(self, port: int, splits: bool = True) -> None:
        """`splits`: connections have frames, which are not encrypted."""
        self.does: Does = nothing
        self.heard = bytearray()
        self._splits = splits
        self._socks: list[socket.socket] = []
        self.address = f"{HOST}:{self._stand_in(0, port, 'harness')}"

    def stand_in(self, port: int) -> None:
        """For a party that listens there."""
        self._stand_in(port, port, "party")

    def close(self) -> None:
        for sock in self._socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _stand_in(self, own_port: int, port: int, to: str) -> int:
        listener = socket.create_server((HOST, own_port))
        self._socks.append(listener)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    self._forward(listener.accept()[0], port, to)

        threading.Thread(target=serve, daemon=True).start()
        opened: int = listener.getsockname()[1]
        return opened

    def _forward(self, device: socket.socket, port: int, to: str) -> None:
        harness = socket.create_connection((_TRUE_HOST, port))
        self._socks += device, harness
        named: list[str] = []
        for source, sink, to_device in ((device, harness, False), (harness, device, True)):
            threading.Thread(target=self._pump, args=(source, sink, to_device, to, named), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, to_device: bool, to: str, named: list[str]) -> None:
        with contextlib.suppress(OSError):
            for part in self._parts(source, to_device, to, named):
                sink.sendall(part)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _parts(self, source: socket.socket, to_device: bool, to: str, named: list[str]) -> Iterator[bytes]:
        if not self._splits:
            while part := source.recv(1 << 16):
                self.heard += part
                yield part
            return
        if to_device:
            # Its proof follows the device's hello, so the name is known by then.
            yield self._exactly(source, 2 * _HELLO_BYTES)
            yield self._exactly(source, 1)
        else:
            hello = self._exactly(source, _HELLO_BYTES + 1)
            name = self._exactly(source, hello[-1])
            named.append(name.decode())
            yield hello + name
            yield self._exactly(source, _HELLO_BYTES)
        number = 0
        while True:
            prefix = self._exactly(source, SIZE_BYTES)
            data = prefix + self._exactly(source, frame_size(prefix) + TAG_BYTES)
            yield from self.does(Seen(f"{named[0]} to {to}", to_device, number, data))
            number += 1

    def _exactly(self, source: socket.socket, n_bytes: int) -> bytes:
        received = b""
        while len(received) < n_bytes:
            part = source.recv(n_bytes - len(received))
            if not part:
                raise ConnectionError
            received += part
        self.heard += received
        return received
