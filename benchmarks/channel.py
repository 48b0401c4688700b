"""What the harness's channel costs beside a bare socket: `python benchmarks/channel.py [CSV]`.

Two processes exchange a message of 784 bytes or of 1 MB for an answer of one byte, over two loopback connections
by turns: one carries `Channel` messages, the other a bare length before a bare array. The medians are of n such
round trips each, so both see the same machine in the same seconds.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ppbench.bundle import Array
from ppbench.measure.machine import cpu
from ppbench.measure.provenance import git_commit
from ppbench.wire.channel import Channel, CriticalPath
from ppbench.wire.connection import Connection

DEFAULT_PATH = Path("results/benchmarks/channel.csv")
SIZES = {"one image": (784, 3000), "1 MB": (1_000_000, 1000)}
WARM_UP = 200
GOAL = 2.0
_LENGTH = struct.Struct("<I")


class Bare:
    """As little as two programs can agree on: a length, then so many bytes of an array."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        self._length = bytearray(_LENGTH.size)

    def send(self, array: Array) -> None:
        # One call for both parts: two would be two segments, or a copy. A blocking socket takes all of it.
        n_sent = self._socket.sendmsg([_LENGTH.pack(array.nbytes), array.data])
        if n_sent < _LENGTH.size + array.nbytes:
            raise RuntimeError("the kernel took only a part")

    def receive(self) -> Array:
        self._fill(memoryview(self._length))
        array = np.empty(_LENGTH.unpack(self._length)[0], np.uint8)
        self._fill(array.data)
        return array

    def _fill(self, view: memoryview) -> None:
        while view.nbytes:
            n_read = self._socket.recv_into(view, 0, socket.MSG_WAITALL)
            if n_read == 0:
                raise EOFError
            view = view[n_read:]


def echo(address: tuple[str, int]) -> None:
    """The other process: one byte for each message, bare and through a channel by turns."""
    bare = Bare(socket.create_connection(address))
    channel = Channel("harness", Connection(socket.create_connection(address)), CriticalPath())
    label = np.zeros(1, np.uint8)
    for _, n_rounds in SIZES.values():
        for _ in range(WARM_UP + n_rounds):
            bare.receive()
            bare.send(label)
            channel.receive("samples")
            channel.send("labels", label)


def measure() -> list[dict[str, str]]:
    """Start the other process and time the round trips; one row a size."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        with subprocess.Popen([sys.executable, __file__, "--echo", f"{host}:{port}"]) as other:
            try:
                bare = Bare(listener.accept()[0])
                channel = Channel("echo", Connection(listener.accept()[0]), CriticalPath())
                return [_row(name, n_bytes, n, bare, channel) for name, (n_bytes, n) in SIZES.items()]
            finally:
                other.kill()


def _row(name: str, n_bytes: int, n_rounds: int, bare: Bare, channel: Channel) -> dict[str, str]:
    samples = np.random.default_rng(0).integers(0, 256, n_bytes, np.uint8)

    def through_bare() -> None:
        bare.send(samples)
        bare.receive()

    def through_channel() -> None:
        channel.send("samples", samples)
        channel.receive("labels")

    times: dict[Callable[[], None], list[int]] = {through_bare: [], through_channel: []}
    for _ in range(WARM_UP + n_rounds):
        for trip, taken in times.items():
            start = time.perf_counter_ns()
            trip()
            taken.append(time.perf_counter_ns() - start)
    bare_us, channel_us = (statistics.median(taken[WARM_UP:]) / 1000 for taken in times.values())
    return {
        "message": name,
        "up_bytes": str(n_bytes),
        "down_bytes": "1",
        "n": str(n_rounds),
        "bare_us": f"{bare_us:.1f}",
        "channel_us": f"{channel_us:.1f}",
        "ratio": f"{channel_us / bare_us:.2f}",
    }


def machine() -> str:
    system = f"{platform.system()} {platform.release()}"
    versions = f"Python {platform.python_version()}, numpy {np.__version__}"
    return f"{cpu()}, {os.cpu_count()} CPUs, {system}, {versions}, commit {git_commit()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("csv", nargs="?", type=Path, default=DEFAULT_PATH)
    parser.add_argument("--echo", metavar="HOST:PORT", help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.echo:
        host, _, port = parsed.echo.rpartition(":")
        echo((host, int(port)))
        return
    rows = measure()
    for row in [dict(zip(rows[0], rows[0], strict=True)), *rows]:
        print("  ".join(value.rjust(10) for value in row.values()))
    parsed.csv.parent.mkdir(parents=True, exist_ok=True)
    with open(parsed.csv, "w", newline="") as file:
        file.write(f"# {machine()}\n")
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    print(f"goal: a ratio of at most {GOAL:g}; kept in {parsed.csv}")


if __name__ == "__main__":
    main()
