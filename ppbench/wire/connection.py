"""A stream socket that carries whole frames, and what the kernel says of its bytes."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import select
import socket
import struct
import sys
import time
from collections.abc import Iterable, Sequence

from ppbench.errors import PeerGone
from ppbench.wire.message import SIZE_BYTES, Buffer, frame_size

_HEAD_BYTES = 1 << 16
_FIRST_BODY_BYTES = 1 << 20
_MOST_BUFFERS = 64

KERNEL = "tcp_info"
CHANNEL = "channel"


@dataclasses.dataclass(frozen=True)
class PayloadBytes:
    """TCP payload since the connection was made, and who counted it: the kernel or the channel."""

    sent: int
    received: int
    source: str


class Connection:
    """One end of a connection.

    `siblings` are all connections of the same party: a send that finds the socket full reads from them while it
    waits, so that parties that send large messages to each other at once cannot block one another.
    """

    def __init__(self, sock: socket.socket, siblings: list[Connection] | None = None) -> None:
        self.socket = sock
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(True)
        self.siblings = siblings if siblings is not None else []
        self.siblings.append(self)
        self.frame_bytes_sent = 0
        self.frame_bytes_received = 0
        self.ended = False
        self._frames: collections.deque[bytearray] = collections.deque()
        self._head = bytearray(_HEAD_BYTES)
        self._head_view = memoryview(self._head)
        self._head_end = 0
        self._body: bytearray | None = None
        self._body_end = 0
        self._body_size = 0

    def fileno(self) -> int:
        """For select."""
        return self.socket.fileno()

    @property
    def has_frame(self) -> bool:
        """Whether `receive` would return at once."""
        return bool(self._frames)

    def send(self, buffers: Sequence[Buffer], deadline_s: float | None = None) -> None:
        """Send one frame. Raises PeerGone; TimeoutError at `deadline_s` on the monotonic clock."""
        rest = [memoryview(buffer) for buffer in buffers]
        self.frame_bytes_sent += sum(view.nbytes for view in rest)
        while rest:
            try:
                n_sent = self.socket.sendmsg(rest[:_MOST_BUFFERS], [], socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except BlockingIOError:
                self._wait_for_room(deadline_s)
                continue
            except OSError as error:
                raise PeerGone(f"the connection is closed ({error})") from error
            while rest and n_sent >= rest[0].nbytes:
                n_sent -= rest.pop(0).nbytes
            if n_sent:
                rest[0] = rest[0][n_sent:]

    def receive(self) -> bytearray:
        """The body of the next frame, in order of arrival. Raises PeerGone or ProtocolError."""
        while not self._frames:
            self._read_some(0)
        return self._frames.popleft()

    def drain(self) -> None:
        """Read what has arrived, without waiting; an end of the stream is noted in `ended`."""
        if self.ended:
            return
        try:
            self._read_some(socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass
        except PeerGone:
            self.ended = True

    def payload(self) -> PayloadBytes:
        """TCP payload both ways: the kernel's count where it keeps one, else that of the frames."""
        if self.socket.family != socket.AF_UNIX and (counted := _tcp_info(self.socket)):
            return PayloadBytes(*counted, KERNEL)
        return PayloadBytes(self.frame_bytes_sent, self.frame_bytes_received, CHANNEL)

    def close(self) -> None:
        """Close the socket; a peer that waits is told."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _wait_for_room(self, deadline_s: float | None) -> None:
        poller = select.poll()
        poller.register(self, select.POLLIN | select.POLLOUT)
        readers = {sibling.fileno(): sibling for sibling in self.siblings if not sibling.ended}
        for handle in readers:
            if handle != self.fileno():
                poller.register(handle, select.POLLIN)
        left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
        events = poller.poll(None if left_s is None else int(left_s * 1000))
        if not events:
            raise TimeoutError("the peer takes no more bytes")
        for handle, event in events:
            if event & ~select.POLLOUT and handle in readers:
                readers[handle].drain()
        if self.ended:
            raise PeerGone("the connection was closed by the other end")

    def _read_some(self, flags: int) -> None:
        into = self._head_view[self._head_end :] if self._body is None else memoryview(self._body)[self._body_end :]
        try:
            n_read = self.socket.recv_into(into, 0, flags)
        except BlockingIOError:
            raise
        except OSError as error:
            raise PeerGone(f"the connection broke ({error})") from error
        finally:
            into.release()
        if n_read == 0:
            raise PeerGone("the connection was closed by the other end")
        self.frame_bytes_received += n_read
        if self._body is None:
            self._head_end += n_read
            self._split_head()
        else:
            self._body_end += n_read
            self._extend_body(self._body)

    def _split_head(self) -> None:
        start = 0
        while self._head_end - start >= SIZE_BYTES:
            size = frame_size(self._head_view[start : start + SIZE_BYTES])
            start += SIZE_BYTES
            here = self._head_view[start : min(start + size, self._head_end)]
            if len(here) == size:
                self._frames.append(bytearray(here))
                start += size
                continue
            self._body = bytearray(min(size, max(_FIRST_BODY_BYTES, len(here))))
            self._body[: len(here)] = here
            self._body_end, self._body_size = len(here), size
            self._head_end = 0
            return
        self._head[: self._head_end - start] = self._head_view[start : self._head_end]
        self._head_end -= start

    def _extend_body(self, body: bytearray) -> None:
        if self._body_end == self._body_size:
            self._frames.append(body)
            self._body = None
        elif self._body_end == len(body):
            body.extend(bytes(min(len(body), self._body_size - len(body))))


def _tcp_info(sock: socket.socket) -> tuple[int, int] | None:
    """Payload bytes (sent, received) from Linux's `struct tcp_info`, without what was sent again."""
    if not sys.platform.startswith("linux"):
        return None
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    if len(info) < 216:
        return None
    (bytes_received,) = struct.unpack_from("=Q", info, 128)
    bytes_sent, bytes_retrans = struct.unpack_from("=QQ", info, 200)
    return bytes_sent - bytes_retrans, bytes_received


def wait_readable(connections: Iterable[Connection], timeout_s: float | None) -> list[Connection]:
    """The connections that have a frame, or bytes, or an end to read, waiting at most `timeout_s`."""
    candidates = list(connections)
    if ready := [connection for connection in candidates if connection.has_frame]:
        return ready
    poller = select.poll()
    by_handle = {connection.fileno(): connection for connection in candidates}
    for handle in by_handle:
        poller.register(handle, select.POLLIN)
    milliseconds = None if timeout_s is None else max(0, int(timeout_s * 1000))
    return [by_handle[handle] for handle, _ in poller.poll(milliseconds)]
