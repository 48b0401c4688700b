"""The protocol: participants, the curator that they trust, and the coordinator, which asks and publishes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.errors import ConfigError, ProtocolError, choose, in_range
from ppbench.party import Party
from ppbench.privacy.guarantee import Privacy, check_positive
from ppbench.scheme import COORDINATOR, Role, Scheme, SchemeCard, Shard, Task, TaskFacts
from schemes.dp_publishing import mechanisms, median
from schemes.dp_publishing.queries import Table, disjoint, overlapping, table

CURATOR = "curator"
MECHANISMS = ("laplace", "exponential", "median")


class Participant(Role["DpPublishing"]):
    """The IoT device: trusts the curator with its records."""

    def train(self, party: Party, shard: Shard | None) -> None:
        """Clear records up."""
        assert shard is not None
        party.to(CURATOR).send("records", shard.samples, shard.labels)


class Curator(Role["DpPublishing"]):
    """The third party that everybody has to trust: it holds all records, and answers with noise."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        """What the table looks like, which is public."""
        self.table = Table.from_tree(artifacts["table"])

    def train(self, party: Party, shard: Shard | None) -> None:
        """Collect the records; then answer the queries in the order in which they are asked."""
        histogram = sum(self._histogram(party, *channel.receive_many("records")) for channel in party.participants)
        if not np.sum(histogram):
            raise ProtocolError("no participant has a record: there is nothing to count")
        packed = party.coordinator.receive("queries")
        queries = np.unpackbits(packed, axis=1, count=self.table.n_cells).astype(bool)
        party.coordinator.send("answers", *self.scheme.answered(np.asarray(histogram), queries, party.rng))

    def _histogram(self, party: Party, samples: Array, labels: Array) -> Array:
        if samples.ndim != 2 or samples.shape[1] != party.task.dimension or labels.shape != (len(samples),):
            due = f"(n, {party.task.dimension}) and (n,)"
            raise ProtocolError(f"records of shapes {samples.shape} and {labels.shape}, where {due} are due")
        return self.table.histogram(samples, labels)


class Coordinator(Role["DpPublishing"]):
    """The cloud: asks, and makes public what it gets; it sees no record."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        """The queries."""
        self.queries: Array = artifacts["queries"]

    def train(self, party: Party, shard: Shard | None) -> None:
        """Queries up, noisy answers down, one bit a cell and four bytes an answer."""
        party.to(CURATOR).send("queries", np.packbits(self.queries, axis=1))
        answers, from_data = party.to(CURATOR).receive_many("answers")
        party.publish("queries", self.queries)
        party.publish("answers", answers)
        party.publish("from_data", from_data)


@dataclasses.dataclass(frozen=True)
class DpPublishing(Scheme):
    """Noisy answers to counting queries under a total budget."""

    name: ClassVar[str] = "dp_publishing"
    title: ClassVar[str] = "DP publishing: a trusted curator answers counting queries with noise"
    card: ClassVar[SchemeCard] = SchemeCard(
        title="Differentially private data publishing",
        source="Dwork et al., TCC'06 (Laplace); McSherry & Talwar, FOCS'07 (exponential); Roth & Roughgarden, STOC'10 "
        "(median): the paper's [14, 33, 39], section 2.1.2; what is simplified in the last is in "
        "schemes/dp_publishing/median.py",
        taxonomy=("training", "data transmission", "data obfuscation", "additive perturbation"),
        protects="each record, from the coordinator and everybody else who gets the answers; not from the curator, "
        "which sees all records in clear",
        guarantee="epsilon-differential privacy of all answers together, where two tables are neighbours if one record "
        "is replaced by another; how many there are, and what values an attribute can have, is public. It assumes that "
        "the curator is honest and answers no more queries than these. The theorems are for real numbers: noise comes "
        "from the operating system's generator, in double precision; Laplace noise is rounded to a grid, which closes "
        "Mironov's attack (CCS'12) but is no proof, and ends at 37 b, so that delta is not exactly 0 but about 1e-12 "
        "an answer where its own epsilon is up to 1. The constants of the median mechanism were chosen on Adult "
        "itself: what that choice tells of the data is not counted",
        task="training",
        computation="low",
        communication="retention/compression",
        deterministic_bytes=True,
        seeded_answers=False,
    )
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {
        "participant": Participant,
        "coordinator": Coordinator,
        CURATOR: Curator,
    }

    mechanism: str = "laplace"
    """`laplace`, `exponential` or `median`."""
    epsilon: float = 1.0
    """Of all answers together."""
    n_queries: int = 100
    correlated: bool = True
    """Whether queries overlap, so that their epsilons add up, or share out the table, so that they do not."""
    attributes: tuple[str, ...] = ()
    """Columns of the data set that the table has, `label` among them; []: two columns and the label."""
    n_ranges: int = 4
    """Ranges that the values of each attribute are cut into, at most."""
    n_hard: int = 32
    """Queries that the median mechanism may answer from the data, at most."""

    def __post_init__(self) -> None:
        """Refuse what cannot be asked or promised."""
        choose("scheme.mechanism", self.mechanism, MECHANISMS)
        check_positive("scheme.epsilon", self.epsilon)
        in_range("scheme.n_queries", self.n_queries, 1)
        in_range("scheme.n_ranges", self.n_ranges, 2)
        in_range("scheme.n_hard", self.n_hard, 1)

    def check(self, task: Task) -> None:
        """Refuse attributes that there are not, and more disjoint queries than cells."""
        n_cells = self._table(task).n_cells
        if not self.correlated and self.n_queries > n_cells:
            raise ConfigError(f"scheme.n_queries={self.n_queries} cannot be disjoint on a table of {n_cells} cells")

    def prepare_key(self, facts: TaskFacts) -> Mapping[str, Any]:
        """What decides table and queries."""
        asked = {name: getattr(self, name) for name in ("n_queries", "correlated", "attributes", "n_ranges")}
        return {**asked, "seed": facts.seed}

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        """The table's layout for who holds it, the queries for who asks."""
        return {CURATOR: {"table": self._table(task).to_tree()}, COORDINATOR: {"queries": self._queries(task)}}

    def answered(self, histogram: Array, queries: Array, random: np.random.Generator) -> tuple[Array, Array]:
        """(cells,) counts, (k, cells) bool -> (k,) float32 noisy answers, and (k,) bool: which looked at the data."""
        if self.mechanism == "median":
            return median.answered(histogram, queries, self._budget, random)
        counts = queries @ histogram
        if self.mechanism == "laplace":
            answers = mechanisms.laplace(counts, self._epsilon_each)
        else:
            answers = mechanisms.exponential(counts, self._epsilon_each, int(histogram.sum()))
        return answers, np.ones(len(queries), bool)

    def privacy(self, facts: TaskFacts) -> Privacy:
        """Of all answers; the scale is that of the noise on each answer from the data, in records."""
        scales = {
            "laplace": 1 / self._epsilon_each,
            "exponential": 2 / self._epsilon_each,
            "median": self._budget.answer_scale,
        }
        composition = "sequential composition" if self.correlated else "parallel composition"
        return Privacy(
            epsilon=self.epsilon,
            delta=0.0,
            neighbouring="one record replaced by another",
            accountant="sparse vector technique" if self.mechanism == "median" else composition,
            noise_scale=scales[self.mechanism],
        )

    def score(self, task: Task, published: Mapping[str, Mapping[str, Array]]) -> Mapping[str, float]:
        """Errors of the answers, in records, and how many looked at the data."""
        layout = self._table(task)
        histogram = sum(layout.histogram(shard.samples, shard.labels) for shard in task.shards())
        results = published[COORDINATOR]
        errors = np.abs(results["answers"] - self._queries(task) @ histogram)
        return {
            "mean_absolute_error": float(errors.mean()),
            "largest_absolute_error": float(errors.max()),
            "answers_from_data": float(results["from_data"].sum()),
        }

    def _table(self, task: Task) -> Table:
        return table(task.dataset, self.attributes, self.n_ranges)

    def _queries(self, task: Task) -> Array:
        ask = overlapping if self.correlated else disjoint
        return ask(self._table(task), self.n_queries, np.random.default_rng([task.seed, self.n_queries]))

    @property
    def _epsilon_each(self) -> float:
        """A replaced record changes all overlapping queries at the worst, of disjoint ones two."""
        return self.epsilon / (self.n_queries if self.correlated else min(self.n_queries, 2))

    @property
    def _budget(self) -> median.Budget:
        return median.Budget(self.epsilon, min(self.n_hard, self.n_queries))
