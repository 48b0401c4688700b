"""Who comes in: only a party of this run, whatever else knocks."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable

import pytest

from ppbench.errors import PeerGone, ProtocolError
from ppbench.launch.host import Host
from ppbench.launch.wire import LOOPBACK
from ppbench.wire import control, handshake, reception
from ppbench.wire.connection import Connection
from ppbench.wire.handshake import Conversation, Dialogue, listening
from tests.helpers.ends import LONGEST_S, admitted, at_once, sockets

KEY = bytes(range(32))


def listen() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def whole(sock: socket.socket, dialogue: Dialogue) -> str:
    """The name that one end proves to the other."""
    conversation = Conversation(sock, dialogue)
    while (proven := conversation.advance()) is None:
        select.select([sock], [], [], LONGEST_S)
    return proven[0]


def test_the_two_prove_themselves_to_each_other() -> None:
    names = []
    with listen() as listener:

        def coordinator() -> None:
            party = admitted(listener, "coordinator", {"participant-0": KEY}.get)
            names.append(party.name)
            control.send(party.connection(authenticated=True), "welcome")

        def participant() -> None:
            party = handshake.connect(listener.getsockname(), "participant-0", "coordinator", KEY)
            assert control.Inbox(party.connection(authenticated=True)).receive() == ("welcome", None)

        at_once(coordinator, participant)
    assert names == ["participant-0"]


def test_each_pair_has_a_key_of_its_own() -> None:
    parties = ["coordinator", "dealer", "participant-1", "participant-11"]
    keys = {handshake.pair_key(KEY, one, other) for one in parties for other in parties if one < other}
    assert len(keys) == 6
    assert handshake.pair_key(KEY, "a", "b") == handshake.pair_key(KEY, "b", "a")
    assert handshake.pair_key(KEY, "a", "b") != handshake.pair_key(bytes(32), "a", "b")


def wrong_key(address: tuple[str, int]) -> None:
    with pytest.raises(ProtocolError, match="not coordinator of this run"):
        handshake.connect(address, "participant-0", "coordinator", bytes(32))


def unknown_name(address: tuple[str, int]) -> None:
    with pytest.raises(ProtocolError):
        handshake.connect(address, "participant-7", "coordinator", KEY)


def garbage(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as sock:
        sock.sendall(os.urandom(32) + b"\x04\xff\xfe\x00\x80" + os.urandom(1000))


def only_knocks(address: tuple[str, int]) -> None:
    socket.create_connection(address).close()


def silent(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as sock:
        assert sock.recv(1) == b""


def no_proof(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as sock:
        name = b"participant-0"
        sock.sendall(bytes(32) + bytes([len(name)]) + name)
        theirs = sock.recv(1000)
        sock.sendall(theirs[32:])  # the listener's own proof, sent back
        assert sock.recv(1) == b""


def dripping(address: tuple[str, int]) -> None:
    stop = threading.Event()
    with socket.create_connection(address) as sock:
        try:
            while not stop.wait(0.05):
                sock.sendall(b"\x01")
        except OSError:
            pass


@pytest.mark.parametrize("stranger", [wrong_key, unknown_name, garbage, only_knocks, silent, no_proof, dripping])
def test_a_stranger_is_refused_and_the_right_one_gets_in(
    stranger: Callable[[tuple[str, int]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reception, "TIMEOUT_S", 0.3)
    harness, theirs = (Connection(sock) for sock in sockets("memory"))
    host = Host(theirs, own_process=False, run_key=KEY)
    peers = {"peers": ["participant-0"], "accepts": ["participant-0"], "hosts": {"coordinator": LOOPBACK}}
    spec = {**peers, "authenticated": False, "tls": False}
    met: dict[str, Connection] = {}
    thread = threading.Thread(target=lambda: met.update(host._meet("coordinator", spec)), daemon=True)
    thread.start()
    word, port = control.Inbox(harness).receive()
    assert word == "listening"
    control.send(harness, "connect", {})
    knocking = threading.Thread(target=stranger, args=((LOOPBACK, port),), daemon=True)
    knocking.start()
    knocking.join(0.1)
    key = handshake.pair_key(KEY, "participant-0", "coordinator")
    mine = handshake.connect((LOOPBACK, port), "participant-0", "coordinator", key).socket
    thread.join(LONGEST_S)
    knocking.join(LONGEST_S)
    assert not knocking.is_alive()
    assert list(met) == ["participant-0"]
    mine.sendall(b"hello")
    assert met["participant-0"].socket.recv(5) == b"hello"
    mine.close()
    for end in (*met.values(), harness, theirs):
        end.close()


@pytest.mark.parametrize("answer", ["other key", "garbage", "echo", "hangs up", "silence"])
def test_a_false_listener_is_found_out_and_learns_nothing(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "PATIENCE_S", 0.3 if answer == "silence" else LONGEST_S)
    heard = bytearray()
    with listen() as listener:

        def false_coordinator() -> None:
            sock, _ = listener.accept()
            with sock:
                if answer == "other key":
                    with pytest.raises((ProtocolError, PeerGone)):
                        whole(sock, listening("coordinator", lambda _: bytes(32)))
                    return
                heard.extend(sock.recv(1000))
                if answer == "hangs up":
                    return
                if answer != "silence":
                    sock.sendall(bytes(heard + heard[:18]) if answer == "echo" else os.urandom(64))
                while part := sock.recv(1000):
                    heard.extend(part)

        def participant() -> None:
            with pytest.raises(ProtocolError, match="coordinator"):
                handshake.connect(listener.getsockname(), "participant-0", "coordinator", KEY)

        at_once(false_coordinator, participant)
    assert len(heard) in (0, 32 + 1 + len("participant-0"))  # a nonce and a name, no proof


def test_nobody_listens() -> None:
    with listen() as listener:
        address = listener.getsockname()
    with pytest.raises(PeerGone, match="coordinator"):
        handshake.connect(address, "participant-0", "coordinator", KEY)


def record(heard: dict[str, bytes]) -> None:
    """What each end says in a handshake that succeeds."""
    accepted: list[str] = []
    other, there = sockets("tcp")
    with listen() as listener, other, there:

        def relay() -> None:
            connector, _ = listener.accept()
            with connector:
                for source, sink, who, n_bytes in (
                    (connector, other, "connector", 46),
                    (other, connector, "listener", 64),
                    (connector, other, "connector", 32),
                    (other, connector, "listener", 1),
                ):
                    part = source.recv(n_bytes, socket.MSG_WAITALL)
                    heard[who] = heard.get(who, b"") + part
                    sink.sendall(part)

        at_once(
            relay,
            lambda: handshake.connect(listener.getsockname(), "participant-0", "coordinator", KEY).socket.close(),
            lambda: accepted.append(whole(there, listening("coordinator", {"participant-0": KEY}.get))),
        )


def test_a_recorded_handshake_opens_nothing() -> None:
    heard: dict[str, bytes] = {}
    record(heard)
    ours, theirs = sockets("tcp")
    with ours, theirs:
        ours.sendall(heard["connector"])
        with pytest.raises(ProtocolError, match="stranger"):
            whole(theirs, listening("coordinator", {"participant-0": KEY}.get))
    with listen() as listener:

        def replaying() -> None:
            with listener.accept()[0] as sock:
                sock.sendall(heard["listener"])
                sock.recv(1000)

        def participant() -> None:
            with pytest.raises(ProtocolError):
                handshake.connect(listener.getsockname(), "participant-0", "coordinator", KEY)

        at_once(replaying, participant)
