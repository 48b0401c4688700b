"""Makes veth pairs behave like a slow link: `python -m ppbench.launch.relay < SHAPED_PAIRS`.

It runs in a network namespace between two parties and forwards Ethernet frames from the interface of the one to that
of the other. A packet leaves when the link has sent all that came before it and its own bits, the link's headers
included, and arrives one delay later. No kernel is asked for this: `netem` is missing from many
(`CONFIG_NET_SCH_NETEM` is not set on the one ppbench was written on), `tbf` holds no packet back by a delay, and a
second mechanism that few could run would be an untested one.

Stdin is JSON, a list of [interface to the participant, interface to the other party, a `Shape` as an object]; the line
`ready` on stdout says that frames are forwarded from now on. Packets dropped, if any, are told on stderr at SIGTERM.
"""

from __future__ import annotations

import collections
import ctypes
import dataclasses
import json
import math
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterable, Sequence

from ppbench.process import die_with_parent
from ppbench.wire.interfaces import ETHERNET_HEADER_BYTES

QUEUE_BYTES = 64 << 20
"""What waits for a direction at most; a packet that would make it more is dropped, as by any router."""
_EVERY_PROTOCOL = 3
_SOL_PACKET = 263
_PACKET_STATISTICS = 6
_PACKET_IGNORE_OUTGOING = 23
_SO_TIMESTAMPNS = 35
_MOST_FRAME_BYTES = 1 << 16
_RECEIVE_BUFFER_BYTES = 16 << 20
_SET_TIMER_SLACK = 29
_BUSY_S = 100e-6
"""Before a packet is due the relay waits without sleeping, because waking up takes about so long."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """How a link treats IP packets; up is from the participant."""

    up_bit_per_s: float
    """On the link, its headers included."""
    down_bit_per_s: float
    delay_s: float
    """One way, beside what sending takes."""
    mtu_bytes: int
    """The part of an IP packet that goes into one frame."""
    header_bytes_per_frame: int
    half_duplex: bool
    """Whether both ends send by turns."""

    def frame_bytes(self, packet_bytes: int) -> int:
        """What an IP packet occupies on the link, fragmented, each fragment with its header."""
        return packet_bytes + math.ceil(packet_bytes / self.mtu_bytes) * self.header_bytes_per_frame


class Direction:
    """One way over a link: frames wait to be sent, then for the link's delay to pass."""

    def __init__(self, into: socket.socket, bit_per_s: float, shape: Shape) -> None:
        self._into = into
        self._s_per_byte = 8 / bit_per_s
        self._shape = shape
        self._queue: collections.deque[tuple[float, bytes]] = collections.deque()
        self._queue_bytes = 0
        self._on_its_way: collections.deque[tuple[float, bytes]] = collections.deque()
        self.n_dropped = 0

    def take(self, frame: bytes, arrived_s: float) -> None:
        """Queue a frame that came at `arrived_s` on the monotonic clock, or drop it if the queue is full."""
        if self._queue_bytes + len(frame) > QUEUE_BYTES:
            self.n_dropped += 1
            return
        self._queue.append((arrived_s, frame))
        self._queue_bytes += len(frame)

    @property
    def first_s(self) -> float:
        """When the first frame that waits to be sent came; infinite if none waits."""
        return self._queue[0][0] if self._queue else math.inf

    @property
    def due_s(self) -> float:
        """When the next frame arrives at the other end; infinite if none is on its way."""
        return self._on_its_way[0][0] if self._on_its_way else math.inf

    def send(self, start_s: float) -> float:
        """Send the first frame, from `start_s` to the time that is returned."""
        frame = self._queue.popleft()[1]
        self._queue_bytes -= len(frame)
        sent_s = start_s + self._shape.frame_bytes(len(frame) - ETHERNET_HEADER_BYTES) * self._s_per_byte
        self._on_its_way.append((sent_s + self._shape.delay_s, frame))
        return sent_s

    def deliver(self, now_s: float) -> None:
        """Hand over what is due."""
        while self.due_s <= now_s:
            try:
                self._into.send(self._on_its_way.popleft()[1])
            except OSError:
                self.n_dropped += 1  # the interface is gone, or its buffer full


class Medium:
    """What carries one direction, or both by turns; it is busy while it sends."""

    def __init__(self, directions: Sequence[Direction]) -> None:
        self._directions = collections.deque(directions)
        self._free_s = 0.0

    @property
    def starts_s(self) -> float:
        """When it sends the next frame; infinite if none waits."""
        return max(self._free_s, min(direction.first_s for direction in self._directions))

    def advance(self, now_s: float) -> None:
        """Send what it could start to send by now."""
        while (start_s := self.starts_s) <= now_s:
            while self._directions[0].first_s > start_s:
                self._directions.rotate()
            self._free_s = self._directions[0].send(start_s)
            self._directions.rotate()


class Relay:
    """All shaped pairs of a namespace, forwarded by one thread."""

    def __init__(self, pairs: Iterable[tuple[str, str, Shape]]) -> None:
        self._directions: dict[socket.socket, Direction] = {}
        self._media: list[Medium] = []
        for participant_side, other_side, shape in pairs:
            participant, other = _open(participant_side), _open(other_side)
            up = Direction(other, shape.up_bit_per_s, shape)
            down = Direction(participant, shape.down_bit_per_s, shape)
            self._directions |= {participant: up, other: down}
            self._media += [Medium([up, down])] if shape.half_duplex else [Medium([up]), Medium([down])]

    def forward(self) -> None:
        """Forward until the process ends."""
        sockets, directions = list(self._directions), list(self._directions.values())
        while True:
            starts_s = min(medium.starts_s for medium in self._media)
            readable = _wait(sockets, min(starts_s, *(direction.due_s for direction in directions)))
            for sock in readable:
                for frame, arrived_s in _arrived(sock):
                    self._directions[sock].take(frame, arrived_s)
            now_s = time.monotonic()
            for medium in self._media:
                medium.advance(now_s)
            for direction in directions:
                direction.deliver(now_s)

    def n_dropped(self) -> int:
        """Frames that came and went no further, for want of room."""
        n_dropped = sum(direction.n_dropped for direction in self._directions.values())
        for sock in self._directions:
            _, n_unread = struct.unpack("@II", sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
            n_dropped += int(n_unread)
        return n_dropped


def _open(interface: str) -> socket.socket:
    """All that the other end of a veth sends, and nothing of what is sent from here."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    # The kernel's time of arrival, so that a relay that wakes up late does not make the link slower.
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    sock.setblocking(False)
    sock.bind((interface, _EVERY_PROTOCOL))
    return sock


def _wait(sockets: Sequence[socket.socket], until_s: float) -> list[socket.socket]:
    """The sockets with frames to read, as soon as there are some or it is time."""
    left_s = until_s - time.monotonic()
    if left_s == math.inf:
        return select.select(sockets, (), ())[0]
    return select.select(sockets, (), (), max(0.0, left_s - _BUSY_S))[0]


def _arrived(sock: socket.socket) -> Iterable[tuple[bytes, float]]:
    """Frames that wait in the kernel, and when they came on the monotonic clock."""
    while True:
        try:
            frame, ancillary, _, _ = sock.recvmsg(_MOST_FRAME_BYTES, 64)
        except BlockingIOError:
            return
        arrived_s = now_s = time.monotonic()
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
                seconds, nanoseconds = struct.unpack("@qq", content)
                age_s = (time.time_ns() - seconds * 1_000_000_000 - nanoseconds) / 1e9
                arrived_s = min(now_s, now_s - age_s)
        yield frame, arrived_s


def main() -> int:
    """Forward the pairs on stdin until SIGTERM, or the parent's end."""
    die_with_parent()
    # By default the kernel lets a sleeper oversleep by 50 us.
    ctypes.CDLL(None).prctl(_SET_TIMER_SLACK, 1)
    relay = Relay((one, other, Shape(**shape)) for one, other, shape in json.load(sys.stdin))

    def end(*_: object) -> None:
        if n_dropped := relay.n_dropped():
            print(f"dropped {n_dropped} frames", file=sys.stderr)
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    print("ready", flush=True)
    relay.forward()
    return 0


if __name__ == "__main__":
    sys.exit(main())
