"""What a stage cost one party and what it exchanged, made from its reports and from the counts around the stage."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from ppbench.bundle import Array, Tree


@dataclasses.dataclass(frozen=True)
class Traffic:
    """What one party exchanged with one peer in one stage."""

    messages_sent: int
    messages_received: int
    message_bytes_sent: int
    message_bytes_received: int
    payload_bytes_sent: int
    payload_bytes_received: int
    source: str
    """Who counted the payload: `tcp_info`, `engine_tcp_info` for an engine's own sockets, or `channel`."""
    wire_bytes_sent: int | None = None
    """IP packets with all headers, whoever's sockets they came from; None where no interface counts them."""
    wire_bytes_received: int | None = None
    wire_packets_sent: int | None = None
    wire_packets_received: int | None = None


@dataclasses.dataclass(frozen=True)
class Reading:
    """What one stage cost one party, and what came of it."""

    cpu_s: float | None
    wall_s: float
    peak_rss_bytes: int
    start_rss_bytes: int
    channel_cpu_s: float
    traffic: Mapping[str, Traffic]
    """By peer."""
    batch_wall_s: Sequence[tuple[int, float]]
    """(index of the batch, seconds in the role's `online`)."""
    rounds: Sequence[tuple[int, int]]
    """(index of the batch, depth on the critical path at its end)."""
    answers: Sequence[Array]
    """Labels, one array a batch of its own."""
    logits: Sequence[Array]
    """As many arrays, or none if the participant does not learn them."""
    guesses: Sequence[tuple[str, int, Array]]
    """(owner, index of the first sample, (n, d) what the party takes its samples for)."""
    engine_bytes: int | None
    """What its engine says of itself that it sent and received."""


def reading(done: Tree, before: Tree, after: Tree, engines: Mapping[str, Traffic]) -> Reading:
    """From what a party says of its stage, the counts at the barriers before and after, and its engine's traffic."""
    cost = after["serving"] or done["cost"]
    traffic = {peer: _difference(before["channels"][peer], count) for peer, count in after["channels"].items()}
    for peer, engine in engines.items():
        traffic[peer] = _sum(traffic[peer], engine) if peer in traffic else engine
    return Reading(
        cpu_s=cost["cpu_s"],
        wall_s=cost["wall_s"],
        peak_rss_bytes=cost["peak_rss_bytes"],
        start_rss_bytes=cost["start_rss_bytes"],
        channel_cpu_s=cost["channel_cpu_s"],
        traffic=traffic,
        batch_wall_s=[(index, seconds) for index, seconds in done["batch_wall_s"]],
        rounds=[(index, depth) for index, depth in done["rounds"]],
        answers=done["answers"],
        logits=done["logits"],
        guesses=[(owner, first, samples) for owner, first, samples in done["guesses"]],
        engine_bytes=done["engine_bytes"],
    )


def _difference(before: Tree, after: Tree) -> Traffic:
    return Traffic(**{key: value if key == "source" else value - before[key] for key, value in after.items()})


def _sum(channel: Traffic, engine: Traffic) -> Traffic:
    return dataclasses.replace(
        channel,
        payload_bytes_sent=channel.payload_bytes_sent + engine.payload_bytes_sent,
        payload_bytes_received=channel.payload_bytes_received + engine.payload_bytes_received,
        source=f"{channel.source}+{engine.source}",
    )


def engine_traffic(before: Mapping[str, Tree], after: Mapping[str, Tree]) -> dict[str, dict[str, Traffic]]:
    """Payload of the engines' own sockets by party and peer: a connection is named by its two ends."""
    owner = {count["local"]: name for name, tree in after.items() for count in tree["engine"]}
    traffic: dict[str, dict[str, Traffic]] = {}
    for name, tree in after.items():
        old = {(c["local"], c["remote"]): c for c in before.get(name, {"engine": []})["engine"]}
        for count in tree["engine"]:
            peer = owner.get(count["remote"])
            if peer is None or peer == name:
                continue
            was = old.get((count["local"], count["remote"]), {"sent": 0, "received": 0})
            known = traffic.setdefault(name, {}).get(peer, Traffic(0, 0, 0, 0, 0, 0, "engine_tcp_info"))
            traffic[name][peer] = dataclasses.replace(
                known,
                payload_bytes_sent=known.payload_bytes_sent + count["sent"] - was["sent"],
                payload_bytes_received=known.payload_bytes_received + count["received"] - was["received"],
            )
    return traffic


def counts_move(before: Mapping[str, Tree], after: Mapping[str, Tree]) -> bool:
    """Whether the counts of some parties, asked for one after the other, may still change while no role sends.

    `before` are the counts when they were last asked for. Engines have threads that send after a stage has ended
    (gloo's tell that a dealer waits for its next request), and the kernel acknowledges when it pleases; channels alone,
    where nobody counts packets, stand still.
    """
    packets = _packets(after)
    on_their_way = any(
        sent != packets[peer, name][1] for (name, peer), (sent, _) in packets.items() if (peer, name) in packets
    )
    return (
        on_their_way
        or packets != _packets(before)
        or _engines(after) != _engines(before)
        or any(tree["unacknowledged"] for tree in after.values())
    )


def _engines(counts: Mapping[str, Tree]) -> dict[str, Tree]:
    """Party -> payload of its engine's sockets, if it has some."""
    return {name: tree["engine"] for name, tree in counts.items() if tree["engine"]}


def _packets(counts: Mapping[str, Tree]) -> dict[tuple[str, str], tuple[int, int]]:
    """(party, peer) -> packets sent and received."""
    return {
        (name, peer): (channel["wire_packets_sent"], channel["wire_packets_received"])
        for name, tree in counts.items()
        for peer, channel in tree["channels"].items()
        if "wire_packets_sent" in channel
    }
