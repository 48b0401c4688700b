"""What a channel carries and counts: arrays under names, bytes at two levels, rounds, CPU time."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppbench.bundle import Array
from ppbench.errors import PeerGone, ProtocolError
from ppbench.party import Party
from ppbench.scheme import TaskFacts
from ppbench.wire import engine
from ppbench.wire.channel import Channel, CriticalPath, View
from ppbench.wire.connection import CHANNEL, KERNEL
from ppbench.wire.message import ROUNDS_IN_FRAME, as_array, encode
from tests.helpers.ends import at_once, connections, sockets
from tests.helpers.trees import assert_same, trees

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="TCP_INFO with byte counts is Linux's")

Joined = dict[str, Channel]


@contextlib.contextmanager
def channels(*pairs: str, kind: str = "memory", views: dict[str, View] | None = None) -> Iterator[Joined]:
    """As `connections`, with one critical path a party."""
    paths: dict[str, CriticalPath] = {}
    with connections(*pairs, kind=kind) as ends:
        yield {
            name: Channel(name[1], end, paths.setdefault(name[0], CriticalPath()), (views or {}).get(name[0]))
            for name, end in ends.items()
        }


def depth(channel: Channel) -> int:
    assert channel._path
    return channel._path.depth


def pass_on(joined: Joined, *steps: str) -> None:
    """ "ab": a sends one message to b, who receives it."""
    for step in steps:
        joined[step].send("x")
        joined[step[::-1]].receive_many("x")


# Messages


@pytest.mark.parametrize("kind", ["tcp", "memory"])
def test_arrays_arrive_under_their_name(kind: str) -> None:
    with channels("ab", kind=kind) as joined:
        joined["ab"].send("samples", np.arange(6).reshape(2, 3), 7, [1.5, 2.5], True)
        one, two, three, four = joined["ba"].receive_many("samples")
        np.testing.assert_array_equal(one, np.arange(6).reshape(2, 3))
        assert (int(two), three.tolist(), bool(four)) == (7, [1.5, 2.5], True)
        one += 1  # what is received is the receiver's own


def test_a_message_of_another_name_or_number_is_an_error() -> None:
    with channels("ab") as joined:
        joined["ab"].send("labels", 1)
        with pytest.raises(ProtocolError, match="'samples' is awaited from a, which sent 'labels'"):
            joined["ba"].receive("samples")
        joined["ab"].send("labels", 1, 2)
        with pytest.raises(ProtocolError, match="2 arrays instead of 1"):
            joined["ba"].receive("labels")
        with pytest.raises(ProtocolError, match="no frame"):
            joined["ab"].send("labels", "seven")
        joined["ab"].send("labels", 3)
        assert joined["ba"].receive("labels") == 3


def test_errors_name_the_peer() -> None:
    with channels("ab") as joined:
        joined["ab"].connection.socket.sendall(b"\x05\0\0\0     ")
        with pytest.raises(ProtocolError, match="from a"):
            joined["ba"].receive("x")
        joined["ab"].connection.close()
        with pytest.raises(PeerGone, match="from a"):
            joined["ba"].receive("x")
        with pytest.raises(PeerGone, match="'x' could not be sent to a"):
            joined["ba"].send("x", np.zeros(10_000_000))


def test_a_message_has_arrived_when_all_of_it_has() -> None:
    with channels("ab") as joined:
        assert not joined["ba"].arrived()
        frame = b"".join(encode("x", [np.zeros(3)]))
        joined["ab"].connection.socket.sendall(frame[:20])
        assert not joined["ba"].arrived()
        joined["ab"].connection.socket.sendall(frame[20:] + b"\0\0\0\0")
        assert joined["ba"].arrived()
        joined["ba"].receive("x")
        with pytest.raises(ProtocolError, match="from a"):
            joined["ba"].arrived()


@given(trees())
def test_a_tree_arrives_as_it_was(tree: Any) -> None:
    with channels("ab") as joined:
        joined["ab"].send_tree("model", tree)
        assert_same(joined["ba"].receive_tree("model"), tree)


@pytest.mark.parametrize(
    "arrays",
    [
        [],
        [np.zeros(4)],
        [as_array("{")],
        [as_array("[" * 100_000)],
        [as_array('{"\\u0000array": 0}')],
        [as_array('{"\\u0000array": "0"}'), np.zeros(1)],
        [as_array("null"), np.zeros(1)],
        [np.array([0xC0], np.uint8)],
    ],
)
def test_what_is_no_tree(arrays: list[Array]) -> None:
    with channels("ab") as joined:
        joined["ab"].send("model", *arrays)
        with pytest.raises(ProtocolError, match="'model' from a is no tree"):
            joined["ba"].receive_tree("model")


def test_a_view_keeps_a_copy_of_all_that_came() -> None:
    views = {"b": View()}
    with channels("ab", "cb", views=views) as joined:
        joined["ab"].send("samples", np.arange(3), 1)
        joined["cb"].send("shares", 5)
        samples, _ = joined["ba"].receive_many("samples")
        joined["bc"].receive("shares")
        samples[:] = 0
        joined["ba"].send("labels", 9)
    (source, name, arrays), second = views["b"].entries
    assert (source, name, arrays[0].tolist(), int(arrays[1])) == ("a", "samples", [0, 1, 2], 1)
    assert second[:2] == ("c", "shares")


# Bytes


@linux
@pytest.mark.parametrize("size", ["0", "1", "MSS-1", "MSS", "MSS+1", "1000000", "10000000"])
def test_the_kernel_counts_what_the_channel_frames(size: str) -> None:
    """`size` is that of the whole frame, but for the sizes that no frame has: there it is the array's."""
    overhead = len(encode("x", [np.empty(1, np.uint8)])[0]) - 1
    with channels("ab", kind="tcp") as joined, channels("ab", kind="memory") as others:
        mss = joined["ab"].connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        wanted = mss + int(size[3:] or 0) if size.startswith("MSS") else int(size)
        n_bytes = wanted - overhead if wanted > overhead else wanted

        def exchange(here: Channel) -> None:
            here.send("x", np.zeros(n_bytes, np.uint8))
            assert here.receive("x").nbytes == n_bytes

        for pair in (joined, others):
            at_once(lambda pair=pair: exchange(pair["ab"]), lambda pair=pair: exchange(pair["ba"]))  # type: ignore[misc]
        for name, channel in joined.items():
            connection, payload, other = channel.connection, channel.payload(), others[name].payload()
            framed = connection.frame_bytes_sent
            assert framed == (wanted if wanted > overhead else n_bytes + overhead)
            assert (payload.sent, payload.received, payload.source) == (framed, framed, KERNEL)
            assert (other.sent, other.received, other.source) == (framed, framed, CHANNEL)
            traffic = channel.counts
            assert (traffic.messages_sent, traffic.messages_received) == (1, 1)
            assert (traffic.message_bytes_sent, traffic.message_bytes_received) == (n_bytes, n_bytes)


@linux
def test_nothing_sent_is_nothing_counted() -> None:
    with channels("ab", kind="tcp") as joined:
        for channel in joined.values():
            payload = channel.payload()
            assert (payload.sent, payload.received, payload.source) == (0, 0, KERNEL)


@linux
@given(st.lists(st.tuples(st.sampled_from(["ab", "ba"]), st.integers(0, 100_000)), max_size=8))
def test_the_counts_of_kernel_and_channel_agree(sent: list[tuple[str, int]]) -> None:
    with channels("ab", kind="tcp") as joined:
        for way, n_bytes in sent:
            joined[way].send("x", np.zeros(n_bytes, np.uint8))
            joined[way[::-1]].receive("x")
        for channel in joined.values():
            payload = channel.payload()
            connection = channel.connection
            assert (payload.sent, payload.received) == (connection.frame_bytes_sent, connection.frame_bytes_received)


@linux
@pytest.mark.parametrize("n_bytes", [0, 1, 65_483, 3_000_000])
def test_an_engines_own_sockets_are_counted_to_the_byte(n_bytes: int) -> None:
    with channels("ab", kind="tcp") as joined:
        ours, theirs = sockets("tcp")
        with ours, theirs:
            known = {channel.connection.fileno() for channel in joined.values()}
            at_once(lambda: ours.sendall(bytes(n_bytes)), lambda: theirs.recv(n_bytes, socket.MSG_WAITALL))
            host, port = ours.getsockname()
            (counted,) = [one for one in engine.payload_by_socket(known) if one["local"] == f"{host}:{port}"]
            assert (counted["sent"], counted["received"]) == (n_bytes, 0)
            channel_port = joined["ab"].connection.socket.getsockname()[1]
            assert f"{host}:{channel_port}" not in {one["local"] for one in engine.payload_by_socket(known)}


# Rounds


def test_a_request_and_its_answer_are_two_rounds() -> None:
    with channels("ab") as joined:
        pass_on(joined, "ab", "ba")
        assert (depth(joined["ab"]), depth(joined["ba"])) == (2, 1)


def test_messages_in_a_row_share_a_round() -> None:
    with channels("ab") as joined:
        pass_on(joined, "ab", "ab", "ab")
        assert (depth(joined["ab"]), depth(joined["ba"])) == (0, 1)


def test_two_that_send_at_once_share_a_round() -> None:
    with channels("ab") as joined:
        for _ in range(5):
            joined["ab"].send("x")
            joined["ba"].send("x")
            joined["ab"].receive_many("x")
            joined["ba"].receive_many("x")
        assert depth(joined["ab"]) == depth(joined["ba"]) == 5


def test_who_serves_stands_where_each_request_puts_it_and_no_deeper_with_every_batch() -> None:
    facts = TaskFacts("digits", (8, 8), 16, 10, batch_size=1, n_participants=1, seed=0)
    with channels("ab") as joined:
        asks, answers = joined["ab"], joined["ba"]
        assert asks._path
        assert answers._path
        proxy = Party("proxy", facts, {"participant-0": answers}, answers._path, None, own_process=False, hosts={})
        requests = proxy.requests("participant")
        for _batch in range(3):
            asks._path.depth = 0
            for rounds in (2, 4):
                asks.send("request")
                next(requests)[0].send("answer")
                asks.receive_message()
                assert depth(asks) == rounds


def test_each_layer_that_asks_the_participant_is_two_rounds() -> None:
    with channels("ab") as joined:
        for layer in range(1, 6):
            pass_on(joined, "ab", "ba")
            assert depth(joined["ab"]) == 2 * layer


def test_a_chain_through_a_proxy_is_three_rounds() -> None:
    with channels("ab", "bc", "ca") as joined:
        pass_on(joined, "ab", "bc", "ca")
        assert depth(joined["ac"]) == 3


def test_a_channel_off_the_critical_path_makes_no_rounds() -> None:
    with connections("ab") as ends:
        a, b = Channel("b", ends["ab"]), Channel("a", ends["ba"])
        a.send("x", 1)
        assert b.receive_message().round == 0


def test_rounds_beyond_what_a_frame_holds_are_counted_on() -> None:
    with channels("ab") as joined:
        for channel in joined.values():
            assert channel._path
            channel._path.depth = ROUNDS_IN_FRAME - 2
        for _ in range(3):
            pass_on(joined, "ab", "ba")
        assert depth(joined["ab"]) == depth(joined["ba"]) + 1 == ROUNDS_IN_FRAME + 4


def test_a_message_that_goes_over_no_participants_link_hands_on_the_depth_and_adds_nothing() -> None:
    with connections("ab", "bc") as ends:
        paths = {name: CriticalPath() for name in "abc"}
        upload, arrived = Channel("b", ends["ab"], paths["a"]), Channel("a", ends["ba"], paths["b"])
        on, there = Channel("c", ends["bc"], paths["b"], step=0), Channel("b", ends["cb"], paths["c"], step=0)
        upload.send("x")
        arrived.receive_message()
        on.send("x")
        there.receive_message()
        assert paths["c"].depth == 1


@given(st.lists(st.tuples(st.sampled_from(["ab", "ba", "bc", "cb", "ca", "ac"]), st.booleans()), max_size=30))
def test_rounds_are_the_longest_chain_of_messages(steps: list[tuple[str, bool]]) -> None:
    """Against a graph of all that happened: a party's next event follows at no cost, a message's arrival costs one."""
    last: dict[str, int] = {}
    edges: list[tuple[int, int, int]] = []
    waiting: dict[str, list[int]] = {}
    n_events = 0

    def happens(party: str) -> int:
        nonlocal n_events
        n_events += 1
        if party in last:
            edges.append((last[party], n_events, 0))
        last[party] = n_events
        return n_events

    with channels("ab", "bc", "ca") as joined:
        for way, is_sent in steps:
            if is_sent:
                joined[way].send("x")
                waiting.setdefault(way, []).append(happens(way[0]))
            elif waiting.get(way):
                joined[way[::-1]].receive_many("x")
                edges.append((waiting[way].pop(0), happens(way[1]), 1))
        longest = dict.fromkeys(range(1, n_events + 1), 0)
        for start, end, cost in sorted(edges, key=lambda edge: edge[1]):
            longest[end] = max(longest[end], longest[start] + cost)
        for name, channel in joined.items():
            assert depth(channel) == longest.get(last.get(name[0], 0), 0)


# CPU time


def test_waiting_for_a_peer_costs_no_cpu_time() -> None:
    with channels("ab") as joined:

        def late() -> None:
            time.sleep(0.4)
            joined["ab"].send("x", 1)

        start = time.monotonic_ns()
        at_once(late, lambda: joined["ba"].receive("x"))
        assert 0 < joined["ba"].cpu_ns < (time.monotonic_ns() - start) / 2
        assert joined["ab"].cpu_ns > 0
