"""k-anonymity through a trusted proxy: raw records to the proxy, a generalised table from it, no answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.party import Party
from ppbench.scheme import Role, Scheme, SchemeCard, Shard, Task
from tests.sketches.common import toy_card

QUASI_IDENTIFIERS = (10, 20, 30)
"""Positions in a sample that could identify its owner."""


class Participant(Role["KAnonymity"]):
    """The IoT device: trusts the proxy with its records."""

    def train(self, party: Party, shard: Shard | None) -> None:
        assert shard is not None
        party.task.unit(shard.samples)
        party.to("proxy").send("records", shard.samples[:, QUASI_IDENTIFIERS], shard.labels)


class Proxy(Role["KAnonymity"]):
    """The third party: sees all records, lets no group smaller than k out."""

    def serve(self, party: Party) -> None:
        came: list[tuple[Array, ...]] = []
        for _, message in party.requests("participant"):
            came.append(message.arrays)
            if len(came) == party.task.n_participants:
                records = np.concatenate([arrays[0] for arrays in came])
                labels = np.concatenate([arrays[1] for arrays in came])
                party.coordinator.send("table", *generalised(records, labels, self.scheme.k))


class Coordinator(Role["KAnonymity"]):
    """The cloud: gets the table, and makes it public."""

    def train(self, party: Party, shard: Shard | None) -> None:
        low, high, labels = party.to("proxy").receive_many("table")
        party.publish("low", low)
        party.publish("high", high)
        party.publish("labels", labels)


def generalised(records: Array, labels: Array, k: int) -> tuple[Array, Array, Array]:
    """Mondrian: halve at the median of the widest attribute while both halves have k records; then give ranges."""
    low, high = np.empty_like(records), np.empty_like(records)
    groups = [np.arange(len(records))]
    while groups:
        group = groups.pop()
        values = records[group]
        widest = int(np.ptp(values, axis=0).argmax())
        left = values[:, widest] <= np.median(values[:, widest])
        if min(left.sum(), (~left).sum()) >= k:
            groups += [group[left], group[~left]]
        else:
            low[group], high[group] = values.min(axis=0), values.max(axis=0)
    return low, high, labels


@dataclasses.dataclass(frozen=True)
class KAnonymity(Scheme):
    """Publishing a table in which nobody stands alone."""

    name: ClassVar[str] = "sketch_k_anonymity"
    title: ClassVar[str] = "sketch: k-anonymity through a proxy"
    card: ClassVar[SchemeCard] = toy_card("k-anonymity", "Sweeney, 2002", task="training")
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {
        "participant": Participant,
        "coordinator": Coordinator,
        "proxy": Proxy,
    }

    k: int = 5
    """The fewest records that may share a description."""

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        return {}
