"""What a party tells the harness at a barrier, as both of them know it: what a stage came to, and its counts."""

from __future__ import annotations

import dataclasses
from typing import Any

from ppbench.bundle import Array, Tree
from ppbench.meter import Cost


class _Told:
    """A dataclass that crosses a control connection as a tree, its fields by name."""

    def to_tree(self) -> Tree:
        """All fields, those that are told themselves as trees."""
        return _plain(self)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(field) for name, field in vars(value).items()}
    if isinstance(value, dict):
        return {name: _plain(field) for name, field in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


@dataclasses.dataclass(frozen=True)
class Traffic:
    """What one party exchanged with one peer."""

    messages_sent: int
    messages_received: int
    message_bytes_sent: int
    message_bytes_received: int
    payload_bytes_sent: int
    payload_bytes_received: int
    source: str
    """Who counted the payload: `tcp_info`, `engine_tcp_info` for an engine's own sockets, or `channel`; `peer_` before
    it where the other end told it."""
    wire_bytes_sent: int | None = None
    """IP packets with all headers, whoever's sockets they came from; None where no interface counts them."""
    wire_bytes_received: int | None = None
    wire_packets_sent: int | None = None
    wire_packets_received: int | None = None
    authentication_bytes_sent: int | None = None
    """Tags of the frames, which are no payload; None where frames have none."""
    authentication_bytes_received: int | None = None
    tls_bytes_sent: int | None = None
    """What encryption adds to payload and tags; None where nothing is encrypted."""
    tls_bytes_received: int | None = None

    @property
    def all_bytes_sent(self) -> int:
        """Payload with tags and with what encryption adds: what the kernel sees of the connection."""
        return self.payload_bytes_sent + (self.authentication_bytes_sent or 0) + (self.tls_bytes_sent or 0)

    @property
    def all_bytes_received(self) -> int:
        """The same of what came."""
        return self.payload_bytes_received + (self.authentication_bytes_received or 0) + (self.tls_bytes_received or 0)

    def since(self, before: Traffic) -> Traffic:
        """What came after `before`, a count of the same pair."""
        return dataclasses.replace(
            self,
            **{
                name: value - getattr(before, name)
                for name, value in vars(self).items()
                if name != "source" and value is not None
            },
        )

    def mirrored(self) -> Traffic:
        """The same as the other end would tell it."""
        return Traffic(
            messages_sent=self.messages_received,
            messages_received=self.messages_sent,
            message_bytes_sent=self.message_bytes_received,
            message_bytes_received=self.message_bytes_sent,
            payload_bytes_sent=self.payload_bytes_received,
            payload_bytes_received=self.payload_bytes_sent,
            source=f"peer_{self.source}",
            wire_bytes_sent=self.wire_bytes_received,
            wire_bytes_received=self.wire_bytes_sent,
            wire_packets_sent=self.wire_packets_received,
            wire_packets_received=self.wire_packets_sent,
        )

    def with_engine(self, engine: Traffic) -> Traffic:
        """With the payload of an engine's own sockets to the same peer."""
        return dataclasses.replace(
            self,
            payload_bytes_sent=self.payload_bytes_sent + engine.payload_bytes_sent,
            payload_bytes_received=self.payload_bytes_received + engine.payload_bytes_received,
            source=f"{self.source}+{engine.source}",
        )


@dataclasses.dataclass(frozen=True)
class RoundReport(_Told):
    """What one training round came to at one party, from the end of the one before, or from the stage's begin."""

    number: int
    cpu_s: float
    wall_s: float
    channel_cpu_s: float
    rounds: int
    """Depth on the critical path of the stage, at the round's end."""
    traffic: dict[str, Traffic]
    """By peer with which something was exchanged; over channels alone, and as they count it themselves."""
    published: dict[str, Array]
    """By name."""

    @classmethod
    def from_tree(cls, tree: Tree) -> RoundReport:
        """What `to_tree` took apart."""
        return cls(**{**tree, "traffic": {peer: Traffic(**count) for peer, count in tree["traffic"].items()}})


@dataclasses.dataclass
class StageReport(_Told):
    """What one stage came to at one party."""

    cost: Cost = dataclasses.field(default_factory=lambda: Cost(0.0, 0.0, 0, 0))
    channel_cpu_s: float = 0.0
    """CPU spent in channels, which is part of the cost."""
    cpu_is_known: bool = True
    """Whether the CPU time is the party's own: of who serves in a shared process it cannot be told."""
    batch_wall_s: list[tuple[int, float]] = dataclasses.field(default_factory=list)
    """(index of the batch, seconds in the role's `online` or `offline`)."""
    rounds: int = 0
    """Depth on the critical path at the end of the stage, or of the batch where it was the deepest."""
    answers: list[Array] = dataclasses.field(default_factory=list)
    """Labels, one array a batch of its own."""
    logits: list[Array] = dataclasses.field(default_factory=list)
    """As many arrays, or none if the participant does not learn them."""
    guesses: list[tuple[str, int, Array]] = dataclasses.field(default_factory=list)
    """(owner, index of the first sample, (n, d) what the party takes its samples for)."""
    training_rounds: list[RoundReport] = dataclasses.field(default_factory=list)
    """Those that the party ended, in order."""
    published: dict[str, Array] = dataclasses.field(default_factory=dict)
    """By name; what was published in a training round is there."""
    engine_bytes: int | None = None
    """What its engine says of itself that it sent and received."""

    @classmethod
    def from_tree(cls, tree: Tree) -> StageReport:
        """What `to_tree` took apart; pairs come back as lists."""
        rounds = [RoundReport.from_tree(ended) for ended in tree["training_rounds"]]
        return cls(**{**tree, "cost": Cost(**tree["cost"]), "training_rounds": rounds})


@dataclasses.dataclass(frozen=True)
class CountedConnection:
    """A TCP connection, by its two ends as `host:port`, and the kernel's count of its payload since it was opened."""

    local: str
    remote: str
    sent: int
    received: int


@dataclasses.dataclass(frozen=True)
class Counts(_Told):
    """All counts of one party since the run began, read while nobody sends."""

    channels: dict[str, Traffic] = dataclasses.field(default_factory=dict)
    """By peer."""
    unacknowledged: int = 0
    """Segments of its connections, where packets are counted."""
    engine: list[CountedConnection] = dataclasses.field(default_factory=list)
    serving: StageReport | None = None
    """What a party that serves has cost in the stage up to now."""
    waiting: dict[str, int] = dataclasses.field(default_factory=dict)
    """Peer -> messages from it that are here and that no role has taken; not told while a party serves."""
    has_engine: bool = False
    """Whether the party has said that an engine of its opens sockets."""

    @classmethod
    def from_tree(cls, tree: Tree) -> Counts:
        """What `to_tree` took apart."""
        return cls(
            channels={peer: Traffic(**count) for peer, count in tree["channels"].items()},
            unacknowledged=tree["unacknowledged"],
            waiting=tree["waiting"],
            has_engine=tree["has_engine"],
            engine=[CountedConnection(**socket) for socket in tree["engine"]],
            serving=None if tree["serving"] is None else StageReport.from_tree(tree["serving"]),
        )
