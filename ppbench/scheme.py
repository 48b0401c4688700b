"""The plugin contract: a scheme is a card and a set of roles, and its roles meet over channels only."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.data.dataset import Split, TrainingDataset, label_type, unit
from ppbench.errors import ConfigError, ProtocolError
from ppbench.macs import Macs
from ppbench.models.network import Network
from ppbench.plugin import Plugin
from ppbench.privacy.guarantee import Privacy

if TYPE_CHECKING:
    from ppbench.party import Party
    from ppbench.progress import Progress

PARTICIPANT = "participant"
COORDINATOR = "coordinator"

TaskKind = Literal["inference", "training"]
Computation = Literal["low", "medium", "high"]
Communication = Literal["iterative", "swelling", "retention/compression"]
Arithmetic = Literal["float", "integer", "modular"]

_N_TRIAL = 10_000


@dataclasses.dataclass(frozen=True)
class SchemeCard:
    """What a scheme says about itself; measurements are compared with it and never taken from it."""

    title: str
    source: str
    """The publication, with section or equation where it helps."""
    taxonomy: tuple[str, ...]
    """Path in the paper's figure 1, such as ("inference", "ObfNet")."""
    protects: str
    """What is protected from whom."""
    guarantee: str
    """What is promised and what that assumes."""
    task: TaskKind | None
    """None only where the scheme cannot be imported, and so cannot say."""
    computation: Computation | None
    """The paper's own label of the participant's computation; None where it gives none."""
    communication: Communication | None
    """The paper's own label of the communication; None where it gives none."""
    deterministic_bytes: bool
    """Whether the same job always moves the same number of bytes."""
    seeded_answers: bool
    """True: the same seed gives the same answers. False: they depend on randomness from the operating system."""
    tolerates_dropouts: bool = False
    """Whether a job goes on when a participant dies, raises or leaves (`Party.leave`)."""
    several_participants: bool = True
    """Whether one coordinator serves several participants in a job."""
    arithmetic: Arithmetic = "float"
    """What the participant's work is like: of reals, `integer` modulo 2^64, or `modular` by primes."""


@dataclasses.dataclass(frozen=True)
class TaskFacts:
    """What every party may know about the task."""

    dataset: str
    sample_shape: tuple[int, ...]
    sample_max: float
    n_classes: int
    batch_size: int
    n_participants: int
    seed: int

    @property
    def dimension(self) -> int:
        """Values per sample."""
        return math.prod(self.sample_shape)

    @property
    def label_type(self) -> np.dtype[Any]:
        """Of the task's labels, in memory and on the wire: one byte each for up to 256 classes."""
        return label_type(self.n_classes)

    def unit(self, samples: Array) -> Array:
        """Raw samples (n, d) as the float32 in [0, 1] that models take.

        Raises ProtocolError for other shapes, and for values that are no finite numbers.
        """
        if samples.ndim != 2 or samples.shape[1] != self.dimension:
            raise ProtocolError(f"samples of shape {samples.shape}, where the task has (n, {self.dimension})")
        if samples.dtype.kind == "f" and not np.isfinite(samples).all():
            raise ProtocolError("samples with NaN or infinite values")
        return unit(samples, self.sample_max)


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """The coordinator's model. What it is worth on the test split, only the harness knows."""

    name: str
    network: Network
    key: Mapping[str, Any]
    """All that decides the weights."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What is to be computed, as `prepare` and `check` see it: nothing here comes from the test split."""

    facts: TaskFacts
    dataset: TrainingDataset
    model: TrainedModel
    progress: Progress
    n_train_samples: int | None = None
    """How many training samples the shards hold together; None: all."""

    @property
    def seed(self) -> int:
        """The job's seed."""
        return self.facts.seed

    @property
    def n_dealt(self) -> int:
        """How many training samples the shards hold together."""
        return len(self.dataset.train) if self.n_train_samples is None else self.n_train_samples

    def shards(self) -> list[Shard]:
        """The first `n_dealt` of the training samples as the seed shuffles them, in equal parts, one a participant."""
        train = self.dataset.train
        dealt = self._shuffled()[: self.n_dealt]
        return [
            Shard(train.samples[part], train.labels[part]) for part in np.array_split(dealt, self.facts.n_participants)
        ]

    def public_samples(self, n: int) -> Array:
        """(n, d) raw training samples that no shard holds and everybody may know. Raises ConfigError for too many."""
        n_all = len(self.dataset.train)
        if n > n_all - self.n_dealt:
            raise ConfigError(
                f"{n} public samples, but task.n_train_samples={self.n_dealt} leaves {n_all - self.n_dealt} of {n_all}"
            )
        # From the end: they are the same whatever the shards hold.
        return self.dataset.train.samples[self._shuffled()[n_all - n :]]

    def trial_samples(self) -> Array:
        """(n, d) float32 in [0, 1]: training samples, at most 10,000 at even distances, to try parameters on."""
        n_all = len(self.dataset.train)
        chosen = np.linspace(0, n_all - 1, min(n_all, _N_TRIAL)).astype(int)
        return self.facts.unit(self.dataset.train.samples[chosen])

    def _shuffled(self) -> Array:
        return np.random.default_rng(self.seed).permutation(len(self.dataset.train))


@dataclasses.dataclass(frozen=True)
class FinishedTask(Task):
    """The same when all stages are over, as `score` sees it: nothing that was measured can come from the test split."""

    test: Split = dataclasses.field(kw_only=True)


@dataclasses.dataclass(frozen=True)
class Shard:
    """One participant's private training data."""

    samples: Array
    """(n, d), raw."""
    labels: Array
    """(n,) of the task's label type."""


class Batch:
    """One step of the online stage. Every party sees its index and size; its samples exist only at their owner."""

    def __init__(self, index: int, size: int, samples: Array | None = None) -> None:
        self.index = index
        self.size = size
        self._samples = samples

    @property
    def samples(self) -> Array:
        """(size, d), raw as the device stores them. Raises ConfigError at any party but their owner."""
        if self._samples is None:
            raise ConfigError(f"the samples of batch {self.index} exist only at the participant that owns them")
        return self._samples


@dataclasses.dataclass(frozen=True)
class Scheme(Plugin, abc.ABC):
    """One privacy-preserving approach: its options are the dataclass's fields, its parties are `roles`."""

    card: ClassVar[SchemeCard]
    roles: ClassVar[Mapping[str, type[Role[Any]]]]
    """Role name -> class: `participant`, `coordinator` and the names of third parties."""

    def check(self, task: Task) -> None:
        """Raise ConfigError if these options and this task cannot go together; nothing has been started yet."""

    def interpreter(self) -> Path | None:
        """The Python that the parties run in, where an engine's pins need an environment of its own; None: this one."""
        return None

    def privacy(self, facts: TaskFacts) -> Privacy | None:
        """What these options promise in terms of differential privacy; it becomes records of the job."""
        return None

    def macs(self, facts: TaskFacts, artifacts: Mapping[str, Tree]) -> Macs | None:
        """Multiply-accumulates of a participant for one sample online, with what `prepare` made; None: not countable.

        Zero is a count: of a scheme whose participant only moves or changes values one by one.
        """
        return None

    def resident_bytes(self, facts: TaskFacts) -> float | None:
        """The least memory that a participant's part of the protocol takes at once; None: as much as whole messages.

        Counted from the parameters, for a scheme whose keys and messages can be made, sent and used up piece by piece,
        also if it is implemented otherwise: what must be there together, such as the secret key and a polynomial.
        """
        return None

    def one_way_steps(self, rounds: int) -> int:
        """What rounds of its engine take, one after the other: more where its ends ask for leave to send."""
        return rounds

    def score(self, task: FinishedTask, published: Mapping[str, Mapping[str, Array]]) -> Mapping[str, float]:
        """What the results that parties published are worth, by name, for a scheme whose results are no answers.

        `published` is party -> name -> result. The harness alone holds them against the clear data, once for each set
        of processes, and for each training round in which something was published, with what was published in it; the
        values become records `published_NAME`.
        """
        return {}

    def active_roles(self) -> tuple[str, ...]:
        """The roles that these options need: no party is started for the others. By default, all of `roles`."""
        return tuple(self.roles)

    def takes_part_in(self, stage: str) -> bool:
        """Whether any active role does something in this stage."""
        return any(self.roles[role].takes_part_in(stage) for role in self.active_roles())

    def prepare_key(self, facts: TaskFacts) -> Mapping[str, Any]:
        """The options and facts that decide what `prepare` makes; by default, all options and the seed."""
        return {**self.options(), "seed": facts.seed}

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        """What each role starts from, role name -> tree of plain values and arrays.

        Runs once at the coordinator and is cached by content: it must depend on the task, `prepare_key` and
        nothing else. A role that is not named starts from nothing.
        """
        return {COORDINATOR: {"model": task.model.network.to_tree()}}


S = TypeVar("S", bound=Scheme)


class Role(Generic[S]):
    """What one party runs; one object per party, which keeps its state on itself.

    The harness drives the stages setup, train, offline and online, with a barrier after each. A role overrides
    the ones it takes part in. It reaches other parties through `party` alone, and never times or counts anything. Of
    files its process reads code, and writes temporary ones; what else it needs, `prepare` makes. What it starts stays
    in its session, and ends with it.

    What is heavier than numpy a role imports when it is made, before any stage: the seconds of setup are those of keys
    and downloads, while the memory that an engine takes is in every stage's.
    """

    on_critical_path: ClassVar[bool] = True
    """False for a dealer: its traffic is counted apart and makes no rounds."""
    opens_sockets: ClassVar[bool] = False
    """True for a role whose engine opens sockets of its own, where `Party.engine` says; no other opens one at all."""

    def __init__(self, scheme: S) -> None:
        """No stage is charged for what is imported here; there is no party yet to work with."""
        self.scheme = scheme

    def setup(self, party: Party, artifacts: Tree) -> None:
        """Once per participant: keys, downloads. `artifacts` is what `prepare` made for this role, or None."""

    def train(self, party: Party, shard: Shard | None) -> None:
        """Training schemes: a participant gets its shard, any other party None."""

    def offline(self, party: Party, batch: Batch) -> None:
        """What needs no input, ahead of every pass over the samples: a batch's size is known, its samples not yet."""

    def online(self, party: Party, batch: Batch) -> None:
        """One batch. Its owner ends with `party.answer(labels)`; at other parties `party.participant` is the owner."""

    def serve(self, party: Party) -> None:
        """Third parties that answer on demand: runs beside all stages after setup, until released."""

    def close(self, party: Party) -> None:
        """After the last stage: shut down what setup opened."""

    @classmethod
    def takes_part_in(cls, stage: str) -> bool:
        """Whether the role overrides the method of this stage."""
        return getattr(cls, stage) is not getattr(Role, stage)
