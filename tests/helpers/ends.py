"""Both ends of a connection, as the tests of the wire need them."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

from ppbench.wire.connection import Connection
from ppbench.wire.handshake import Introduced, KeyOf
from ppbench.wire.reception import Reception
from ppbench.wire.tls import Certificate

LONGEST_S = 30.0


def sockets(kind: str) -> tuple[socket.socket, socket.socket]:
    """Connected sockets: `tcp` over loopback, or `memory` as `MemoryWire` makes them."""
    if kind == "memory":
        return socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        return one, listener.accept()[0]


@contextlib.contextmanager
def connections(*pairs: str, kind: str = "tcp") -> Iterator[dict[str, Connection]]:
    """`connections("ab", "bc")` joins a, whose end is "ab", to b, whose end is "ba"; "ba" and "bc" are siblings."""
    siblings: dict[str, list[Connection]] = {}
    ends: dict[str, Connection] = {}
    for pair in pairs:
        one, other = pair[0], pair[1]
        socks = sockets(kind)
        ends[one + other] = Connection(socks[0], siblings.setdefault(one, []))
        ends[other + one] = Connection(socks[1], siblings.setdefault(other, []))
    try:
        yield ends
    finally:
        for end in ends.values():
            end.close()


def admitted(listener: socket.socket, own: str, key_of: KeyOf, certificate: Certificate | None = None) -> Introduced:
    """The first who connects and proves a name; all others are sent away."""
    with contextlib.closing(Reception(listener, own, key_of, 1, certificate)) as reception:
        while not (arrival := reception.admit(LONGEST_S)):
            pass
    return arrival[1]


def at_once(*programs: Callable[[], object]) -> None:
    """Run each in a thread of its own; fail if one fails, or if they block each other."""
    errors: list[BaseException] = []

    def guarded(program: Callable[[], object]) -> None:
        try:
            program()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(program,), daemon=True) for program in programs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONGEST_S)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads), "the parties block each other"
