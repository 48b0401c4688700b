"""The protocol of central DP-SGD: participants, the curator they trust, and the coordinator, which gets a model."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench import cache, code
from ppbench.bundle import Array, Tree
from ppbench.errors import ProtocolError, choose, in_range
from ppbench.party import Party
from ppbench.privacy.guarantee import Privacy, check_delta, check_positive
from ppbench.scheme import Batch, Role, Scheme, SchemeCard, Shard, Task, TaskFacts
from schemes.dp_sgd import accounting
from schemes.dp_sgd.architectures import ARCHITECTURES
from schemes.dp_sgd.descent import Recipe

CURATOR = "curator"
_RELEASED = ("epsilon", "noise_multiplier", "sample_rate", "steps")
"""What the curator makes public besides the model; none of it depends on a record."""


class Participant(Role["DpSgd"]):
    """The IoT device: trusts the curator with its records, and runs what is released."""

    def train(self, party: Party, shard: Shard | None) -> None:
        """Clear records up, the released model down."""
        assert shard is not None
        party.to(CURATOR).send("records", shard.samples, shard.labels)
        self.model = party.coordinator.receive_tree("model")

    def online(self, party: Party, batch: Batch) -> None:
        """Classify here; one byte a sample tells the coordinator what was found."""
        samples = party.task.unit(batch.samples)
        labels = ARCHITECTURES[self.scheme.architecture].classify(self.model, samples, party.task)
        party.coordinator.send("labels", labels)
        party.answer(labels)


class Curator(Role["DpSgd"]):
    """The third party that everybody has to trust: it sees every record, and lets out a model that is private."""

    def __init__(self, scheme: DpSgd) -> None:
        """Opacus, and with it torch, is imported here, where no stage is charged for it."""
        super().__init__(scheme)
        self.ledger = accounting.Ledger(scheme.accountant)

    def setup(self, party: Party, artifacts: Tree) -> None:
        """How much noise the budget asks for."""
        self.noise_multiplier: float = artifacts["noise_multiplier"]

    def train(self, party: Party, shard: Shard | None) -> None:
        """DP-SGD over all records; then release the model, and what it has cost by the steps that were taken."""
        samples, labels = _received(party)
        recipe = self.scheme.recipe(self.noise_multiplier)
        model = ARCHITECTURES[self.scheme.architecture].train(
            party.task, samples, labels, recipe, party.rng, self.ledger.add
        )
        party.coordinator.send_tree("model", model)
        epsilon = self.ledger.epsilon(self.scheme.delta)
        values = (epsilon, recipe.noise_multiplier, recipe.sample_rate, recipe.steps)
        for name, value in zip(_RELEASED, values, strict=True):
            party.publish(name, np.array(value, np.float64))


class Coordinator(Role["DpSgd"]):
    """The cloud: gets the private model, and no record."""

    def train(self, party: Party, shard: Shard | None) -> None:
        """Hand the model on to every participant."""
        model = party.to(CURATOR).receive_tree("model")
        for participant in party.participants:
            participant.send_tree("model", model)

    def online(self, party: Party, batch: Batch) -> None:
        """Take note of the labels."""
        party.participant.receive("labels")


def _received(party: Party) -> tuple[Array, Array]:
    """All participants' records: (n, d) float32 in [0, 1] and (n,) labels. Raises ProtocolError for others, or none."""
    shards = []
    for participant in party.participants:
        samples, labels = participant.receive_many("records")
        if labels.shape != (len(samples),) or labels.max(initial=0) >= party.task.n_classes:
            raise ProtocolError(f"{participant.peer} did not send one label in 0..{party.task.n_classes - 1} a record")
        shards.append((party.task.unit(samples), labels))
    every = [np.concatenate(arrays) for arrays in zip(*shards, strict=True)]
    if not len(every[1]):
        raise ProtocolError("no participant has a record: there is nothing to train on")
    return every[0], every[1]


@dataclasses.dataclass(frozen=True)
class DpSgd(Scheme):
    """Central differential privacy of training, by noisy gradients."""

    name: ClassVar[str] = "dp_sgd"
    title: ClassVar[str] = "DP-SGD: a trusted curator trains with clipped, noisy gradients and releases the model"
    requires: ClassVar[Mapping[str, str]] = {"opacus": "opacus>=1.5", "torch": "torch>=2.13"}
    card: ClassVar[SchemeCard] = SchemeCard(
        title="DP-SGD with a trusted curator",
        source="Abadi et al., CCS'16, algorithm 1; Song, Chaudhuri, Sarwate, GlobalSIP'13 (the paper's [1, 44]; "
        "section 2.1.2); scattering features after Tramer & Boneh, ICLR'21",
        taxonomy=("training", "data transmission", "data obfuscation", "additive perturbation"),
        protects="each training record, from the coordinator and everybody else who gets the released model; not from "
        "the curator, which sees all records in clear. Test samples stay on their device, their labels do not",
        guarantee="(epsilon, delta)-differential privacy of one released model, where two sets of records are "
        "neighbours if in one of them a record is replaced by one that contributes nothing: how many there are is "
        "fixed and public, for every step divides by it. It assumes that the curator is honest and releases no other, "
        "and Poisson sampling, which is done. The theorem is for real numbers: sampling and noise are drawn from the "
        "operating system's generator, gradients are clipped and added in double precision with a margin for rounding, "
        "and the noise is rounded to a grid, which closes Mironov's attack (CCS'12) but is no proof. Noise ends at 8.5 "
        "sigma: what lies beyond, 1e-17 a value and step, about 1e-9 over a training with the default options, is not "
        "in delta. The default hyper-parameters were chosen by MNIST's test images: what that choice tells of the data "
        "is not counted",
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

    epsilon: float = 3.01
    """What all steps together may cost; what they did cost is published."""
    delta: float = 1e-5
    accountant: str = "prv"
    """`prv`, or `rdp`, by which most published results are counted and which asks for more noise."""
    architecture: str = "scattering"
    """`scattering` or `linear`: logistic regression on fixed features or on raw values; `tanh_cnn` or `tempered_cnn`:
    a small convolutional network."""
    sample_rate: float = 1 / 64
    """Probability of each record to be in a step."""
    epochs: int = 40
    """Steps are as many as sample each record so often on average, whatever the number of records."""
    learning_rate: float = 2.0
    momentum: float = 0.9
    clip: float = 0.1
    """L2 norm to which each record's gradient is clipped."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained or promised."""
        check_positive("scheme.epsilon", self.epsilon)
        check_delta("scheme.delta", self.delta)
        choose("scheme.accountant", self.accountant, accounting.ACCOUNTANTS)
        choose("scheme.architecture", self.architecture, ARCHITECTURES)
        in_range("scheme.sample_rate", self.sample_rate, 1e-6, 1)
        in_range("scheme.epochs", self.epochs, 1)
        check_positive("scheme.learning_rate", self.learning_rate)
        in_range("scheme.momentum", self.momentum, 0, 0.9999)
        check_positive("scheme.clip", self.clip)

    def check(self, task: Task) -> None:
        """Refuse samples that the architecture does not take."""
        ARCHITECTURES[self.architecture].check(task.facts.sample_shape)

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return math.ceil(self.epochs / self.sample_rate)

    def recipe(self, noise_multiplier: float) -> Recipe:
        """How to train with so much noise."""
        return Recipe(
            steps=self.steps,
            sample_rate=self.sample_rate,
            noise_multiplier=noise_multiplier,
            clip=self.clip,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
        )

    def prepare_key(self, facts: TaskFacts) -> Mapping[str, Any]:
        """What decides the noise: no property of the data, so the records are not asked."""
        return self._noise_options()

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        """The noise that the budget asks for."""
        return {CURATOR: {"noise_multiplier": self._calibration()["noise_multiplier"]}}

    def privacy(self, facts: TaskFacts) -> Privacy:
        """What the release guarantees; the noise is on a sum of gradients, in their unit."""
        calibration = self._calibration()
        return Privacy(
            epsilon=calibration["epsilon"],
            delta=self.delta,
            neighbouring="one training record replaced by one that contributes nothing",
            accountant=accounting.ACCOUNTANTS[self.accountant],
            noise_scale=calibration["noise_multiplier"] * self.clip,
        )

    def score(self, task: Task, published: Mapping[str, Mapping[str, Array]]) -> Mapping[str, float]:
        """What the curator says of the steps that it took: epsilon as the accountant counts it afterwards."""
        return {name: float(published[CURATOR][name]) for name in _RELEASED}

    def _calibration(self) -> Mapping[str, float]:
        """Kept by content, because whoever asks for it first has to import torch: a worker, in `prepare`."""
        options = self._noise_options()

        def calibrate() -> Tree:
            noise_multiplier = accounting.noise_multiplier(**options)
            ledger = accounting.Ledger(self.accountant)
            ledger.add(noise_multiplier, self.sample_rate, self.steps)
            return {"noise_multiplier": noise_multiplier, "epsilon": ledger.epsilon(self.delta)}

        key = {**options, "code": code.of(accounting.__name__), "versions": cache.versions("opacus")}
        calibration: Mapping[str, float] = cache.cached("dp_sgd_noise", key, calibrate).content
        return calibration

    def _noise_options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("accountant", "epsilon", "delta", "sample_rate", "steps")}
