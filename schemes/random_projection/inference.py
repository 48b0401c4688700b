"""Projected samples, classified by a model that was trained on clear ones: the protocol, participant first."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Array, Tree
from ppbench.data.dataset import Split
from ppbench.errors import ProtocolError, choose, in_range
from ppbench.macs import Macs
from ppbench.models.classifier import Classifier
from ppbench.models.network import Network
from ppbench.models.training import Recipe, fit
from ppbench.party import Party
from ppbench.scheme import Batch, Role, Scheme, SchemeCard, Task, TaskFacts
from schemes.random_projection.projection import check_projection, matrix_of, width_of
from schemes.random_projection.regression import regression

LIFTS = ("regression", "transpose")
_N_REGRESSION = 20_000
"""Public samples that the regression is over; of MNIST's 60,000 the others change nothing."""
_AT_ONCE = 5000


class Participant(Role["RandomProjection"]):
    """The IoT device: multiplies each sample by the matrix that it shares with the coordinator."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        """Download what the matrix is made from."""
        width = width_of(self.scheme.ratio, party.task)
        self.matrix = matrix_of(int(party.coordinator.receive("secret")), party.task.dimension, width)

    def online(self, party: Party, batch: Batch) -> None:
        """Projected samples up, labels down."""
        projected = party.task.unit(batch.samples) @ self.matrix
        party.coordinator.send("samples", projected.astype(self.scheme.encoding))
        party.answer(party.coordinator.receive("labels"))


class Coordinator(Role["RandomProjection"]):
    """The cloud: brings projections back to the size of a sample, as far as that goes, and classifies those."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        """Load the model and the way back; tell every participant what the matrix is made from."""
        self.lift: Array = artifacts["lift"]
        self.classifier = Classifier(Network.from_tree(artifacts["model"]))
        for participant in party.participants:
            participant.send("secret", np.uint64(artifacts["secret"]))

    def online(self, party: Party, batch: Batch) -> None:
        """Classify and answer."""
        projected = party.participant.receive("samples")
        if projected.dtype != self.scheme.encoding or projected.shape[1:] != self.lift.shape[:1]:
            raise ProtocolError(f"{party.participant.peer} sent {projected.dtype} {projected.shape} as projections")
        lifted = projected.astype(np.float32) @ self.lift
        if self.scheme.lift == "regression":
            party.reconstructed(lifted)
        party.participant.send("labels", self.classifier(lifted))


@dataclasses.dataclass(frozen=True)
class RandomProjection(Scheme):
    """Fewer values than a sample has, each a random combination of all."""

    name: ClassVar[str] = "random_projection"
    title: ClassVar[str] = "random projection: the device sends k random combinations of a sample's values"
    requires: ClassVar[Mapping[str, str]] = {"torch": "torch>=2.13"}
    card: ClassVar[SchemeCard] = SchemeCard(
        title="Random projection",
        source="the projection of the paper's section 2.1.2 ([41], [26]), applied to inference; Johnson & "
        "Lindenstrauss, 1984",
        taxonomy=("inference", "multiplicative perturbation", "random projection"),
        protects="the raw form of the sample, from whoever does not know the matrix; the coordinator knows it, because "
        "it trains for it",
        guarantee="none against the coordinator: k equations in d unknowns have many solutions, but regression on "
        "public samples picks one that looks like the sample (column reconstruction_mse; MNIST's mean image has "
        "0.067). Participants share the matrix, so any of them reads what another sends",
        task="inference",
        computation="low",
        communication="retention/compression",
        deterministic_bytes=True,
        seeded_answers=True,
    )
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}

    ratio: float = 0.5
    """k/d: how many values are sent of as many as a sample has."""
    lift: str = "regression"
    """How the coordinator brings projections back to the size of a sample: by `regression` on public samples, or by
    the matrix's `transpose`, which is right in the mean.
    """
    retrain: bool = True
    """Whether the model is trained further on public samples that were projected and brought back."""
    encoding: str = "float32"
    """`float32` or `float16`."""
    epochs: int = 3
    """Of the retraining."""
    max_lr: float = 5e-3

    def __post_init__(self) -> None:
        """Refuse what cannot be projected, trained or sent."""
        check_projection(self.ratio, self.encoding)
        choose("scheme.lift", self.lift, LIFTS)
        in_range("scheme.epochs", self.epochs, 1)
        in_range("scheme.max_lr", self.max_lr, 1e-9, 10)

    def macs(self, facts: TaskFacts, artifacts: Mapping[str, Tree]) -> Macs:
        """A sample times the matrix."""
        return Macs(dense=facts.dimension * width_of(self.ratio, facts))

    def prepare_key(self, facts: TaskFacts) -> Mapping[str, Any]:
        """The encoding does not change what is trained; without retraining, nor does its recipe."""
        return {
            **{name: getattr(self, name) for name in ("ratio", "lift", "retrain")},
            **({"epochs": self.epochs, "max_lr": self.max_lr} if self.retrain else {}),
            "seed": facts.seed,
        }

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        """The matrix's seed, the way back, and the model that knows what comes back."""
        secret = int(np.random.default_rng([task.seed, 1]).integers(1 << 62))
        matrix = matrix_of(secret, task.facts.dimension, width_of(self.ratio, task.facts))
        lift = matrix.T.copy() if self.lift == "transpose" else _regression(task, matrix)
        network = self._retrained(task, matrix @ lift) if self.retrain else task.model.network
        return {"coordinator": {"secret": secret, "lift": lift, "model": network.to_tree()}}

    def _retrained(self, task: Task, there_and_back: Array) -> Network:
        train = task.dataset.train
        # Half precision halves 188 MB; what is lost is far below what the projection loses.
        samples: Array = np.empty(train.samples.shape, np.float16)
        for start in range(0, len(train), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            samples[some] = task.facts.unit(train.samples[some]) @ there_and_back
        lifted = dataclasses.replace(task.dataset, train=Split(samples, train.labels), sample_max=1.0)
        what = f"retraining for k/d={self.ratio:g}"
        random = np.random.default_rng(task.seed)
        return fit(task.model.network, lifted, Recipe(self.epochs, self.max_lr), random, task.progress, what=what)


def _regression(task: Task, matrix: Array) -> Array:
    public = task.facts.unit(task.dataset.train.samples[:_N_REGRESSION])
    return regression(public @ matrix, public)
