"""What a stage cost one party and what it exchanged, made from its report and from the counts around the stage."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ppbench.launch.reports import Counts, EngineSocket, StageReport, Traffic


@dataclasses.dataclass(frozen=True)
class Reading:
    """One stage of one party."""

    report: StageReport
    """With the cost of serving, where the party serves."""
    traffic: Mapping[str, Traffic]
    """By peer, in this stage."""


def reading(
    report: StageReport, before: Counts, after: Counts, engines: Mapping[str, Traffic], children_cpu_s: float
) -> Reading:
    """From what a party reports of its stage, the counts at the barriers before and after, and its engine's traffic.

    `children_cpu_s` is what it has started, and nobody has waited for, used more at the barrier after than at that
    before: negative where somebody has waited meanwhile, so that the party's own report has it all.
    """
    if serving := after.serving:
        told = {name: getattr(serving, name) for name in ("cost", "channel_cpu_s", "cpu_is_known")}
        report = dataclasses.replace(report, **told)
    if children_cpu_s:
        cpu_s = max(0.0, report.cost.cpu_s + children_cpu_s)
        report = dataclasses.replace(report, cost=dataclasses.replace(report.cost, cpu_s=cpu_s))
    traffic = {peer: count.since(before.channels[peer]) for peer, count in after.channels.items()}
    for peer, engine in engines.items():
        traffic[peer] = traffic[peer].with_engine(engine) if peer in traffic else engine
    return Reading(report, traffic)


def engine_traffic(before: Mapping[str, Counts], after: Mapping[str, Counts]) -> dict[str, dict[str, Traffic]]:
    """Payload of the engines' own sockets by party and peer: a connection is named by its two ends."""
    owner = {socket.local: name for name, counts in after.items() for socket in counts.engine}
    traffic: dict[str, dict[str, Traffic]] = {}
    for name, counts in after.items():
        old = {(s.local, s.remote): s for s in (before[name].engine if name in before else ())}
        for socket in counts.engine:
            peer = owner.get(socket.remote)
            if peer is None or peer == name:
                continue
            was = old.get((socket.local, socket.remote), dataclasses.replace(socket, sent=0, received=0))
            known = traffic.setdefault(name, {}).get(peer, Traffic(0, 0, 0, 0, 0, 0, "engine_tcp_info"))
            traffic[name][peer] = dataclasses.replace(
                known,
                payload_bytes_sent=known.payload_bytes_sent + socket.sent - was.sent,
                payload_bytes_received=known.payload_bytes_received + socket.received - was.received,
            )
    return traffic


def counts_move(before: Mapping[str, Counts], after: Mapping[str, Counts]) -> bool:
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
        or any(counts.unacknowledged for counts in after.values())
    )


def _engines(counts: Mapping[str, Counts]) -> dict[str, list[EngineSocket]]:
    """Party -> its engine's sockets, if it has some."""
    return {name: count.engine for name, count in counts.items() if count.engine}


def _packets(counts: Mapping[str, Counts]) -> dict[tuple[str, str], tuple[int, int]]:
    """(party, peer) -> packets sent and received."""
    return {
        (name, peer): (traffic.wire_packets_sent, traffic.wire_packets_received or 0)
        for name, count in counts.items()
        for peer, traffic in count.channels.items()
        if traffic.wire_packets_sent is not None
    }
