"""A listening party is not to be kept from those whom it awaits by any number of strangers."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator

import pytest

from ppbench.wire import handshake, reception
from ppbench.wire.reception import Reception
from tests.helpers.ends import LONGEST_S

KEY = bytes(range(32))
N_IDLE = 100


@pytest.fixture
def heard_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's time is up in these tests: who is not heard at once is not heard."""
    monkeypatch.setattr(reception, "TIMEOUT_S", 10 * LONGEST_S)


@contextlib.contextmanager
def receiving(n_awaited: int, told: list[str]) -> Iterator[tuple[tuple[str, int], Reception]]:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=1024) as listener,
        contextlib.closing(
            Reception(
                listener,
                "harness",
                lambda name: KEY if name.startswith("participant-") else None,
                n_awaited,
                refused=lambda host, reason: told.append(f"{host}: {reason}"),
            )
        ) as opened,
    ):
        yield listener.getsockname(), opened


def connect(address: tuple[str, int], index: int) -> None:
    handshake.connect(address, f"participant-{index}", "harness", KEY).socket.close()


@pytest.mark.usefixtures("heard_long")
def test_who_is_awaited_comes_in_past_a_flood_of_idle_connections() -> None:
    """More than are heard at once: the oldest go. Eight are awaited, and all come at the same time."""
    told: list[str] = []
    n_awaited = 8
    with receiving(n_awaited, told) as (address, opened), contextlib.ExitStack() as idle:
        socks = [idle.enter_context(socket.create_connection(address)) for _ in range(N_IDLE)]
        threads = [threading.Thread(target=connect, args=(address, i), daemon=True) for i in range(n_awaited)]
        for thread in threads:
            thread.start()
        names: set[str] = set()
        while len(names) < n_awaited:
            if admitted := opened.admit(LONGEST_S):
                names.add(admitted[1].name)
                admitted[1].socket.close()
        for thread in threads:
            thread.join(LONGEST_S)
        gone = [bool(select.select([sock], [], [], 0)[0]) for sock in socks]
        # Those who had waited the longest.
        assert gone == sorted(gone, reverse=True)
        assert 0 < sum(gone) < N_IDLE
    assert names == {f"participant-{i}" for i in range(n_awaited)}
    assert told[0] == "127.0.0.1: too many knock"
    assert told[-1] == "127.0.0.1: too many knock; those who come after it are refused without a word"


@pytest.mark.usefixtures("heard_long")
def test_nobody_is_waited_for_longer_than_was_said() -> None:
    with receiving(1, []) as (address, opened), socket.create_connection(address) as silent:
        for _ in range(5):
            assert opened.admit(0.01) is None
        assert not select.select([silent], [], [], 0)[0], "it is still heard"


def test_each_has_a_deadline_of_his_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception, "TIMEOUT_S", 0.05)
    told: list[str] = []
    with receiving(1, told) as (address, opened), socket.create_connection(address) as dripping:
        while not told:
            with contextlib.suppress(OSError):
                dripping.send(b"x")
            assert opened.admit(0.01) is None
    assert told == ["127.0.0.1: it proved no name within 0.05 s"]


def test_another_socket_interrupts() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, receiving(1, []) as (_, opened):
        ours.sendall(b"x")
        assert opened.admit(None, also=[theirs]) is None
