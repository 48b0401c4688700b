"""When the counts at a barrier are final."""

from __future__ import annotations

import dataclasses

from ppbench.launch.reports import Counts, EngineSocket, Traffic
from ppbench.measure.readings import counts_move


def counts(engine_bytes: int = 0, packets: tuple[int, int] | None = None, unacknowledged: int = 0) -> dict[str, Counts]:
    """Of a dealer and a coordinator: bytes of the dealer's engine, and packets that the one sent and the other got."""
    sockets = [EngineSocket("a:1", "b:2", engine_bytes, 0)] if engine_bytes else []
    plain = Traffic(0, 0, 0, 0, 0, 0, "tcp_info")
    one = other = plain
    if packets:
        sent, received = packets
        one = dataclasses.replace(plain, wire_packets_sent=sent, wire_packets_received=0)
        other = dataclasses.replace(plain, wire_packets_sent=0, wire_packets_received=received)
    return {
        "dealer": Counts({"coordinator": one}, unacknowledged, sockets),
        "coordinator": Counts({"dealer": other}),
    }


def test_channels_alone_stand_still_at_once() -> None:
    assert not counts_move({}, counts())


def test_an_engine_is_asked_until_it_says_the_same_twice() -> None:
    assert counts_move({}, counts(engine_bytes=4096))
    assert counts_move(counts(engine_bytes=4096), counts(engine_bytes=4096 + 48))
    assert not counts_move(counts(engine_bytes=4096 + 48), counts(engine_bytes=4096 + 48))


def test_packets_have_arrived_are_acknowledged_and_no_more_come() -> None:
    settled = counts(packets=(3, 3))
    assert counts_move({}, settled)
    assert counts_move(counts(packets=(3, 2)), counts(packets=(3, 2)))
    assert counts_move(counts(packets=(2, 2)), settled)
    assert counts_move(settled, counts(packets=(3, 3), unacknowledged=1))
    assert not counts_move(settled, settled)
