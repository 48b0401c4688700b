"""When the counts at a barrier are final."""

from __future__ import annotations

import dataclasses

import hypothesis.strategies as st
from hypothesis import given

from ppbench.launch.reports import CountedConnection, Counts, Traffic
from ppbench.measure.readings import counts_move, disagreement


def counts(engine_bytes: int = 0, packets: tuple[int, int] | None = None, unacknowledged: int = 0) -> dict[str, Counts]:
    """Of a dealer and a coordinator: bytes of the dealer's engine, and packets that the one sent and the other got."""
    sockets = [CountedConnection("a:1", "b:2", engine_bytes, 0)] if engine_bytes else []
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


COUNTED = ("messages_sent", "message_bytes_sent", "payload_bytes_sent")
a_count = st.integers(0, 2**40)


@st.composite
def settled(draw: st.DrawFn) -> dict[str, Counts]:
    """Three parties, each with a channel to the others, whose ends agree; some messages wait to be taken."""
    names = ("coordinator", "participant-0", "participant-1")
    told: dict[str, Counts] = {name: Counts() for name in names}
    for name in names:
        for peer in names:
            if name < peer:
                a, b, c, d, e, f = (draw(a_count) for _ in range(6))
                plain = Traffic(a, b, c, d, e, f, "tcp_info")
                there = plain.mirrored()
                n_waiting = draw(st.integers(0, there.messages_received))
                there = dataclasses.replace(there, messages_received=there.messages_received - n_waiting)
                told[name].channels[peer], told[peer].channels[name] = plain, there
                told[peer].waiting[name] = n_waiting
    return told


def with_count(told: dict[str, Counts], name: str, peer: str, metric: str, value: int) -> dict[str, Counts]:
    channels = dict(told[name].channels)
    channels[peer] = Traffic(**{**vars(channels[peer]), metric: value})
    return {**told, name: dataclasses.replace(told[name], channels=channels)}


@given(settled())
def test_two_ends_that_agree_are_left_alone(told: dict[str, Counts]) -> None:
    assert disagreement({}, told) is None
    assert disagreement(told, told) is None
    # Who has dropped out counts no more, and nobody is held against it.
    assert disagreement(told, {name: told[name] for name in ("coordinator", "participant-1")}) is None


@given(settled(), st.sampled_from(COUNTED), st.integers(1, 2**40))
def test_one_end_that_counts_otherwise_is_named_with_channel_and_figures(
    told: dict[str, Counts], metric: str, by: int
) -> None:
    count = getattr(told["coordinator"].channels["participant-1"], metric)
    for wrong in (count - by, count + by):
        bent = with_count(told, "coordinator", "participant-1", metric, wrong)
        # Bytes of messages that wait are not counted by who has not taken them.
        if metric == "message_bytes_sent" and wrong > count and told["participant-1"].waiting["coordinator"]:
            assert disagreement({}, bent) is None
            continue
        found = disagreement({}, bent)
        assert found is not None
        assert found[0] == "coordinator"
        assert str(wrong) in found[1]
        assert "participant-1" in found[1]


@given(settled(), st.sampled_from(COUNTED), st.integers(1, 2**40))
def test_no_count_falls(told: dict[str, Counts], metric: str, by: int) -> None:
    count = getattr(told["coordinator"].channels["participant-1"], metric)
    earlier = with_count(told, "coordinator", "participant-1", metric, count + by)
    assert disagreement(earlier, told) == (
        "coordinator",
        f"it counts {count} {metric} with participant-1, and {count + by} before",
    )


def test_of_who_serves_only_what_nobody_sent_is_held_against_anyone() -> None:
    sent = Traffic(3, 0, 300, 0, 360, 0, "tcp_info")
    for taken, payload, is_wrong in ((2, 360, False), (4, 360, True), (2, 359, True)):
        there = dataclasses.replace(sent.mirrored(), messages_received=taken, payload_bytes_received=payload)
        told = {
            "coordinator": Counts({"dealer": sent}, waiting={"dealer": 0}),
            "dealer": Counts({"coordinator": dataclasses.replace(there, message_bytes_received=100 * taken)}),
        }
        assert (disagreement({}, told) is not None) == is_wrong
