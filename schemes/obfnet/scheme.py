"""The protocol of ObfNet, participant beside coordinator."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench import cache, code
from ppbench.bundle import Array, Tree
from ppbench.errors import choose, in_range
from ppbench.macs import Macs
from ppbench.models.classifier import Classifier
from ppbench.models.network import Network
from ppbench.party import Party
from ppbench.scheme import Batch, Role, Scheme, SchemeCard, Task, TaskFacts
from schemes.obfnet.encoding import ENCODINGS, pack, unpack


class Participant(Role["ObfNet"]):
    """The IoT device: obfuscates each sample before it leaves (paper, section 3.2)."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        """Download the ObfNets."""
        self.obfnets = [Network.from_tree(tree) for tree in party.coordinator.receive_tree("obfnets")]

    def online(self, party: Party, batch: Batch) -> None:
        """Obfuscated samples up, labels down."""
        obfuscated = self.obfuscate(party.task.unit(batch.samples))
        party.coordinator.send("samples", *pack(obfuscated, self.scheme.encoding))
        party.answer(party.coordinator.receive("labels"))

    def obfuscate(self, samples: Array) -> Array:
        """(n, d) float32 -> the same, each sample by an ObfNet drawn for it alone, or left as it is.

        What is drawn is the participant's secret, so chance comes from the operating system.
        """
        n = len(samples)
        drawn = np.array([secrets.randbelow(len(self.obfnets)) for _ in range(n)])
        raw = np.array([secrets.randbelow(1 << 30) for _ in range(n)]) < self.scheme.raw_fraction * (1 << 30)
        obfuscated = samples.copy()
        for i, obfnet in enumerate(self.obfnets):
            mine = (drawn == i) & ~raw
            if mine.any():
                obfuscated[mine] = obfnet(samples[mine])
        return obfuscated


class Coordinator(Role["ObfNet"]):
    """The cloud: classifies what it gets, obfuscated or raw, with the unchanged deep model."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        """Release the ObfNets to every participant."""
        self.classifier = Classifier(Network.from_tree(artifacts["model"]))
        for participant in party.participants:
            participant.send_tree("obfnets", artifacts["obfnets"])

    def online(self, party: Party, batch: Batch) -> None:
        """Classify and answer."""
        samples = unpack(party.participant.receive_many("samples"), self.scheme.encoding)
        party.participant.send("labels", self.classifier(samples))


@dataclasses.dataclass(frozen=True)
class ObfNet(Scheme):
    """A dense network on the device whose output the coordinator's model classifies like its input."""

    name: ClassVar[str] = "obfnet"
    title: ClassVar[str] = "ObfNet: a small network on the device obfuscates, the cloud's model classifies"
    requires: ClassVar[Mapping[str, str]] = {"torch": "torch>=2.13"}
    card: ClassVar[SchemeCard] = SchemeCard(
        title="ObfNet",
        source="Zheng et al., Challenges of Privacy-Preserving Machine Learning in IoT, AIChallengeIoT'19, section 3",
        taxonomy=("inference", "ObfNet"),
        protects="the raw form of the sample, from an honest-but-curious coordinator; not the label",
        guarantee="to the eye only: the coordinator trained the ObfNets and can train decoders for them. It need not "
        "be told which samples are raw, but it can tell, since obfuscated values exceed 1",
        task="inference",
        computation="medium",
        communication="retention/compression",
        deterministic_bytes=True,
        seeded_answers=False,
    )
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}

    hidden: tuple[int, ...] = (1000,)
    """Widths of the hidden layers: [] is the paper's ObfNet1, [1000] its ObfNet2."""
    pool_size: int = 1
    """How many ObfNets a participant draws from, one for each sample."""
    raw_fraction: float = 0.0
    """Share of the samples that a participant chooses to send as they are."""
    encoding: str = "float32"
    """`float32`, `float16` or `uint8`: how obfuscated values travel."""
    epochs: int = 5
    max_lr: float = 1e-3

    def __post_init__(self) -> None:
        """Refuse what cannot be trained, drawn or sent."""
        choose("scheme.encoding", self.encoding, ENCODINGS)
        in_range("scheme.pool_size", self.pool_size, 1)
        in_range("scheme.raw_fraction", self.raw_fraction, 0, 1)
        in_range("scheme.epochs", self.epochs, 1)
        in_range("scheme.max_lr", self.max_lr, 1e-9, 10)
        for width in self.hidden:
            in_range("scheme.hidden", width, 1)

    def macs(self, facts: TaskFacts, artifacts: Mapping[str, Tree]) -> Macs:
        """Those of one ObfNet, for the samples that are not sent as they are."""
        return Macs.of(Network.from_tree(artifacts["coordinator"]["obfnets"][0])).times(1 - self.raw_fraction)

    def prepare_key(self, facts: TaskFacts) -> Mapping[str, Any]:
        """How samples are drawn and sent does not change what is trained."""
        trained = {name: getattr(self, name) for name in ("hidden", "pool_size", "epochs", "max_lr")}
        return {**trained, "seed": facts.seed}

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        """Train the pool against the frozen model (paper, section 3.2): seeds seed, seed + 1, ..."""
        obfnets = [self._obfnet(task, task.seed + i) for i in range(self.pool_size)]
        return {"coordinator": {"model": task.model.network.to_tree(), "obfnets": obfnets}}

    def _obfnet(self, task: Task, seed: int) -> Tree:
        from schemes.obfnet.training import train_obfnet

        key = {
            "hidden": list(self.hidden),
            "epochs": self.epochs,
            "max_lr": self.max_lr,
            "seed": seed,
            "model": task.model.key,
            "code": code.of("schemes.obfnet.training"),
        }

        def train() -> Tree:
            network = train_obfnet(
                task.model.network, task.dataset, self.hidden, self.epochs, self.max_lr, seed, task.progress
            )
            return network.to_tree()

        return cache.cached("obfnet", key, train).content
