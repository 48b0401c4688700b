"""A stream socket that carries whole frames, and what the kernel says of its bytes."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import math
import select
import socket
import struct
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from ppbench.errors import PeerGone, ProtocolError
from ppbench.wire.authentication import TAG_BYTES, Authentication
from ppbench.wire.message import SIZE, SIZE_BYTES, Buffer, frame_size

_HEAD_BYTES = 1 << 16
_FIRST_BODY_BYTES = 1 << 20
_MOST_BUFFERS = 64
_AT_ONCE = int(socket.MSG_DONTWAIT) | int(getattr(socket, "MSG_NOSIGNAL", 0))
_ALL = int(socket.MSG_WAITALL)
PATIENCE_S = 0.05
"""A receiver that has waited so long reads from its other peers too; a timeout of the kernel costs no system call."""

_Events: TypeAlias = "dict[Connection, int]"

KERNEL = "tcp_info"
CHANNEL = "channel"


@dataclasses.dataclass(frozen=True)
class PayloadBytes:
    """Payload since the connection was made, and who counted it: the kernel or the channel.

    What else went over the connection is None where there is no such thing.
    """

    sent: int
    received: int
    source: str
    authentication_bytes_sent: int | None = None
    """The tags of the frames."""
    authentication_bytes_received: int | None = None
    tls_bytes_sent: int | None = None
    """What encryption adds, since it begins."""
    tls_bytes_received: int | None = None


class Connection:
    """One end of a connection.

    `siblings` are all connections of the same party: while it waits for one peer, to send or to receive, it reads
    what comes from the others, so that large messages cannot block parties in a circle, in whatever order the
    parties send and receive. One thread at a time may use the connections of a party.

    With `authentication` each frame is followed by its tag, and one whose tag is wrong is the end of the connection.
    """

    def __init__(
        self,
        sock: socket.socket,
        siblings: list[Connection] | None = None,
        authentication: Authentication | None = None,
    ) -> None:
        self.socket = sock
        self.authentication = authentication
        self._tag_bytes = TAG_BYTES if authentication else 0
        # Of a `TlsSocket`, whose module is imported only where something is encrypted.
        self._is_encrypted = hasattr(sock, "holds_back")
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(True)
        self.wait_for(PATIENCE_S)
        self.siblings = siblings if siblings is not None else []
        self.siblings.append(self)
        self.frame_bytes_sent = 0
        self.frame_bytes_received = 0
        self._end: PeerGone | ProtocolError | None = None
        self._frames: collections.deque[Buffer] = collections.deque()
        self._head = memoryview(bytearray(_HEAD_BYTES))
        self._head_end = 0
        self._body: memoryview | None = None
        self._body_end = 0
        self._body_size = 0

    def wait_for(self, patience_s: float) -> None:
        """How long `receive` waits before it reads from other peers too, which is work that a late message makes."""
        seconds, fraction = divmod(patience_s, 1)
        timeout = struct.pack("@ll", int(seconds), int(fraction * 1e6))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)

    def fileno(self) -> int:
        """For select."""
        return self.socket.fileno()

    @property
    def has_frame(self) -> bool:
        """Whether `receive` would return at once."""
        return bool(self._frames)

    @property
    def ended(self) -> bool:
        """Whether the end of the stream has been read, after which only frames that are here already come."""
        return isinstance(self._end, PeerGone)

    def send(self, buffers: Sequence[Buffer], deadline_s: float | None = None) -> None:
        """Send one frame. Raises PeerGone; TimeoutError at `deadline_s` on the monotonic clock."""
        rest = list(buffers)
        if self.authentication:
            tag = self.authentication.sending.next(rest)
            # A second buffer would cost a small frame more than the copy, and an encrypted one a record of its own.
            if len(rest) == 1 and len(rest[0]) <= _HEAD_BYTES:
                rest = [b"".join((rest[0], tag))]
            else:
                rest.append(tag)
        while rest:
            try:
                if len(rest) == 1:
                    n_sent = self.socket.send(rest[0], _AT_ONCE)
                else:
                    n_sent = self.socket.sendmsg(rest[:_MOST_BUFFERS], (), _AT_ONCE)
            except BlockingIOError:
                self._wait(select.POLLOUT, deadline_s)
                if self._end:
                    raise PeerGone(str(self._end)) from None
                continue
            except OSError as error:
                raise PeerGone(f"the connection is closed ({error})") from error
            self.frame_bytes_sent += n_sent
            while rest and n_sent >= len(rest[0]):
                n_sent -= len(rest.pop(0))
            if n_sent:
                rest[0] = memoryview(rest[0])[n_sent:]

    def receive(self) -> Buffer:
        """The body of the next frame, in order of arrival. Raises PeerGone or ProtocolError."""
        while not self._frames:
            if self._end:
                raise type(self._end)(str(self._end))
            try:
                self._read_some(_ALL if self._body else 0)
            except BlockingIOError:
                self._wait(select.POLLIN, None)
        return self._frames.popleft()

    def drain(self) -> None:
        """Read what has arrived, without waiting; an end of the stream is noted in `ended`. Raises ProtocolError."""
        if not self._end:
            with contextlib.suppress(BlockingIOError):
                self._read_some(_AT_ONCE)
        if isinstance(self._end, ProtocolError):
            raise ProtocolError(str(self._end))

    def waiting(self) -> int:
        """How many whole frames are here that nobody has received, after reading all that has come.

        What the kernel has counted by then, the tags in it are known of.
        """
        with contextlib.suppress(BlockingIOError):
            while not self._end:
                self._read_some(_AT_ONCE)
        return len(self._frames)

    def payload(self) -> PayloadBytes:
        """Payload both ways, without tags and encryption: by the kernel's count where it keeps one of that."""
        counted = tcp_info(self.socket) if self.socket.family != socket.AF_UNIX else None
        tags_sent, tags_received = self._counted_tags()
        tags = (tags_sent, tags_received) if self.authentication else (None, None)
        frames = PayloadBytes(
            self.frame_bytes_sent - tags_sent, self.frame_bytes_received - tags_received, CHANNEL, *tags
        )
        if counted is None:
            return frames
        if self._is_encrypted:
            ours = counted[0] - self.frame_bytes_sent, counted[1] - self.frame_bytes_received
            return dataclasses.replace(frames, tls_bytes_sent=ours[0], tls_bytes_received=ours[1])
        return PayloadBytes(counted[0] - tags_sent, counted[1] - tags_received, KERNEL, *tags)

    def _counted_tags(self) -> tuple[int, int]:
        """Bytes of the tags sent and received."""
        if self.authentication is None:
            return 0, 0
        return (
            TAG_BYTES * self.authentication.sending.n_frames,
            TAG_BYTES * self.authentication.receiving.n_frames,
        )

    def close(self) -> None:
        """Close the socket; a peer that waits is told."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self._end = PeerGone("the connection was closed by this end")

    def _wait(self, event: int, deadline_s: float | None) -> None:
        """Until `event` or the end comes here, reading meanwhile whatever comes from anyone."""
        while not self._end:
            left_s = None if deadline_s is None else deadline_s - time.monotonic()
            happened = _poll({self: event}, self.siblings, left_s)
            if not happened:
                raise TimeoutError("the peer takes no more bytes")
            for connection, what in happened.items():
                if what & ~select.POLLOUT:
                    connection._drain_in_passing()
            if happened.get(self, 0) & event:
                return

    def _drain_in_passing(self) -> None:
        # What is wrong with a peer is raised when somebody wants to hear that peer.
        with contextlib.suppress(ProtocolError):
            self.drain()

    def _read_some(self, flags: int) -> None:
        """One read, which may find the end of the stream, and what then is out of poll's sight.

        Raises BlockingIOError.
        """
        self._read_once(flags)
        while self._is_encrypted and not self._end and self.socket.holds_back:  # type: ignore[attr-defined]
            self._read_once(_AT_ONCE)

    def _read_once(self, flags: int) -> None:
        into = self._head[self._head_end :] if self._body is None else self._body[self._body_end :]
        try:
            n_read = self.socket.recv_into(into, 0, flags)
        except BlockingIOError:
            raise
        except OSError as error:
            self._end = PeerGone(f"the connection broke ({error})")
            return
        if n_read == 0:
            self._end = PeerGone("the connection was closed by the other end")
            return
        self.frame_bytes_received += n_read
        try:
            if self._body is not None:
                self._body_end += n_read
                self._extend_body(self._body)
            else:
                self._head_end += n_read
                self._split_head()
        except ProtocolError as error:
            self._end = error

    def _split_head(self) -> None:
        start, end = 0, self._head_end
        while end - start >= SIZE_BYTES:
            size = frame_size(self._head[start:end])
            start += SIZE_BYTES
            tagged_size = size + self._tag_bytes
            if end - start < tagged_size:
                self._begin_body(tagged_size, self._head[start:end])
                start = end
                break
            self._take(bytearray(self._head[start : start + tagged_size]))
            start += tagged_size
        self._head_end = end - start
        if start and start < end:
            self._head[: end - start] = bytes(self._head[start:end])

    def _take(self, body: Buffer) -> None:
        """A frame without its size, and with its tag if it has one. Raises ProtocolError if that is wrong."""
        if self.authentication:
            body = memoryview(body)
            body, tag = body[:-TAG_BYTES], body[-TAG_BYTES:]
            self.authentication.receiving.check((SIZE.pack(len(body)), body), tag)
        self._frames.append(body)

    def _begin_body(self, size: int, here: memoryview) -> None:
        self._body = _memory(min(size, max(_FIRST_BODY_BYTES, len(here))))
        self._body[: len(here)] = here
        self._body_end, self._body_size = len(here), size

    def _extend_body(self, body: memoryview) -> None:
        if self._body_end == self._body_size:
            self._body = None
            self._take(body)
        elif self._body_end == len(body):
            # No more than twice what has arrived: a peer that only claims a size must not cost its memory.
            self._body = _memory(min(2 * len(body), self._body_size))
            self._body[: len(body)] = body


def _memory(n_bytes: int) -> memoryview:
    """Bytes that, unlike a bytearray's, are not set to zero first."""
    return np.empty(n_bytes, np.uint8).data


def tcp_info(sock: socket.socket) -> tuple[int, int] | None:
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
    siblings = candidates[0].siblings if candidates else []
    until_s = None if timeout_s is None else time.monotonic() + timeout_s
    while not (ready := [connection for connection in candidates if connection.has_frame]):
        left_s = None if until_s is None else until_s - time.monotonic()
        happened = _poll(dict.fromkeys(candidates, select.POLLIN), siblings, left_s)
        ready = [connection for connection in candidates if connection in happened]
        if ready or not happened:
            break
        for sibling in happened:
            sibling._drain_in_passing()
    return ready


def _poll(awaited: Mapping[Connection, int], siblings: Sequence[Connection], timeout_s: float | None) -> _Events:
    """What happens first: an awaited event, or something to read from a sibling. Empty at the timeout."""
    poller = select.poll()
    events = dict.fromkeys((sibling for sibling in siblings if not sibling._end), select.POLLIN)
    for connection, event in awaited.items():
        events[connection] = events.get(connection, 0) | event
    by_handle = {connection.fileno(): connection for connection in events}
    for connection, event in events.items():
        poller.register(connection, event)
    milliseconds = None if timeout_s is None else max(0, math.ceil(timeout_s * 1000))
    return {by_handle[handle]: event for handle, event in poller.poll(milliseconds)}
