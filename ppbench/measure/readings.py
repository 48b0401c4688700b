"""What a stage cost one party and what it exchanged, made from its report and from the counts around the stage."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ppbench.bundle import Array
from ppbench.launch.reports import CountedConnection, Counts, StageReport, Traffic
from ppbench.wire.connection import CHANNEL


@dataclasses.dataclass(frozen=True)
class Reading:
    """One stage of one party."""

    report: StageReport
    """With the cost of serving, where the party serves."""
    traffic: Mapping[str, Traffic]
    """By peer, in this stage."""
    dropped_out: bool = False
    """Whether the party did not come to its end: nobody has told what it cost."""


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


def reading_of_dropped(
    name: str, report: StageReport | None, before: Mapping[str, Counts], after: Mapping[str, Counts]
) -> Reading:
    """Of a participant that counts no more: what its peers counted, and what it reported if it lived to the end."""
    traffic = {
        peer: counts.channels[name].since(before[peer].channels[name]).mirrored()
        for peer, counts in after.items()
        if name in counts.channels
    }
    return Reading(report or StageReport(), traffic, dropped_out=report is None)


def published_by_round(readings: Mapping[str, Reading]) -> dict[int, dict[str, dict[str, Array]]]:
    """Training round -> party -> name -> result, of the rounds in which something was published; in order."""
    found: dict[int, dict[str, dict[str, Array]]] = {}
    for party, reading in readings.items():
        for ended in reading.report.training_rounds:
            if ended.published:
                found.setdefault(ended.number, {})[party] = ended.published
    return dict(sorted(found.items()))


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


def disagreement(before: Mapping[str, Counts], after: Mapping[str, Counts]) -> tuple[str, str] | None:
    """The first party by name whose counts of a channel are not its peer's, and how they differ; None if all agree.

    Nothing is received that was not sent, and what was sent was received, or waits where it has come to; no count is
    less than at the barrier before. Who serves may have some of it before it for longer than the stage, and does not
    tell how much. Who has dropped out has no counts, and nobody's are held against them.
    """
    for name, counts in sorted(after.items()):
        for peer, traffic in sorted(counts.channels.items()):
            was = before[name].channels[peer] if name in before else None
            for metric, now in _channel_counts(traffic).items():
                least = _channel_counts(was)[metric] if was else 0
                if now < least:
                    return name, f"it counts {now} {metric} with {peer}, and {least} before"
            if peer in after and (told := _differs(name, traffic, peer, after[peer])):
                return name, told
    return None


def _differs(name: str, traffic: Traffic, peer: str, there: Counts) -> str | None:
    """What one party sent, against what its peer received of it."""
    received = there.channels[name]
    serves = name not in there.waiting
    n_waiting = there.waiting.get(name, 0)
    has_come = not serves or received.source != CHANNEL  # the kernel counts what nobody has taken yet
    for what, sent, taken, is_exact in (
        ("messages", traffic.messages_sent, received.messages_received + n_waiting, not serves),
        ("message bytes", traffic.message_bytes_sent, received.message_bytes_received, not serves and not n_waiting),
        ("payload bytes", traffic.payload_bytes_sent, received.payload_bytes_received, has_come),
    ):
        if sent < taken or (is_exact and sent != taken):
            waits = f", of which {n_waiting} wait to be taken" if what == "messages" and n_waiting else ""
            return f"it counts {sent} {what} sent to {peer}, which counts {taken} received{waits}"
    return None


def _channel_counts(traffic: Traffic) -> dict[str, int]:
    return {name: value for name, value in vars(traffic).items() if isinstance(value, int)}


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


def _engines(counts: Mapping[str, Counts]) -> dict[str, list[CountedConnection]]:
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
