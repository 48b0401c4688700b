"""One end of a TCP connection over a relay: `python -m tests.helpers.relay_end listen|connect ADDRESS N_BYTES`.

The connecting end prints JSON: how long 10 round trips of a byte took, and 3 transfers of so many bytes each way.
"""

from __future__ import annotations

import json
import socket
import sys
import time

PORT = 5000
ROUND_TRIPS = 10
TRANSFERS = 3


def _read(sock: socket.socket, n_bytes: int) -> None:
    while n_bytes:
        n_bytes -= len(sock.recv(min(n_bytes, 1 << 20)))


def _listen(address: str, n_bytes: int) -> None:
    with socket.create_server((address, PORT)) as listener:
        print("listening", flush=True)
        sock, _ = listener.accept()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(ROUND_TRIPS):
        sock.sendall(sock.recv(1))
    for _ in range(TRANSFERS):
        _read(sock, n_bytes)
        sock.sendall(b"a")
        _read(sock, 1)
        sock.sendall(bytes(n_bytes))
    _read(sock, 1)


def _connect(address: str, n_bytes: int) -> None:
    sock = socket.create_connection((address, PORT))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    seconds: dict[str, list[float]] = {"rtt": [], "up": [], "down": []}

    def timed(what: str, sent: bytes, n_answer_bytes: int) -> None:
        began = time.perf_counter()
        sock.sendall(sent)
        _read(sock, n_answer_bytes)
        seconds[what].append(time.perf_counter() - began)

    for _ in range(ROUND_TRIPS):
        timed("rtt", b"a", 1)
    for _ in range(TRANSFERS):
        timed("up", bytes(n_bytes), 1)
        timed("down", b"a", n_bytes)
    sock.sendall(b"a")
    print(json.dumps(seconds))


if __name__ == "__main__":
    {"listen": _listen, "connect": _connect}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
