"""The protocol, participant beside coordinator."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, cast

from ppbench.bundle import Tree
from ppbench.errors import ConfigError, choose, in_range
from ppbench.macs import Macs
from ppbench.models.classifier import Classifier
from ppbench.models.network import Conv2d, Linear, Network
from ppbench.party import Party
from ppbench.privacy.guarantee import Privacy, check_delta, check_epsilon
from ppbench.privacy.mechanisms import MECHANISMS, Mechanism
from ppbench.privacy.sensitivity import NORMS, Norm, cube_sensitivity
from ppbench.scheme import Batch, Role, Scheme, SchemeCard, Task, TaskFacts
from schemes.additive_noise.perturbation import ENCODINGS, Perturbation

RECOVERIES = ("none", "denoiser", "fine_tuned")


class Participant(Role["AdditiveNoise"]):
    """The IoT device: adds noise to each sample before it leaves."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        """Calibrate the noise; nothing is downloaded."""
        self.perturbation = self.scheme.perturbation(party.task)

    def online(self, party: Party, batch: Batch) -> None:
        """Noisy samples up, labels down."""
        party.coordinator.send("samples", self.perturbation.packed(party.task.unit(batch.samples)))
        party.answer(party.coordinator.receive("labels"))


class Coordinator(Role["AdditiveNoise"]):
    """The cloud: classifies noisy samples with its deep model, with or without help against the noise."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        """Load the model, and the denoiser if there is one."""
        self.perturbation = self.scheme.perturbation(party.task)
        self.denoiser = Network.from_tree(artifacts["denoiser"]) if "denoiser" in artifacts else None
        self.classifier = Classifier(Network.from_tree(artifacts["model"]))

    def online(self, party: Party, batch: Batch) -> None:
        """Classify and answer."""
        samples = self.perturbation.unpacked(party.participant.receive("samples"))
        if self.denoiser:
            samples = self.denoiser(samples)
        party.participant.send("labels", self.classifier(samples))


@dataclasses.dataclass(frozen=True)
class AdditiveNoise(Scheme):
    """Every value of a sample with independent noise: local differential privacy of the sample as a whole."""

    name: ClassVar[str] = "additive_noise"
    title: ClassVar[str] = "additive noise: Laplace or Gaussian, local differential privacy of each sample"
    requires: ClassVar[Mapping[str, str]] = {"torch": "torch>=2.13"}
    card: ClassVar[SchemeCard] = SchemeCard(
        title="Additive perturbation",
        source="the paper's section 2.2, which advises against it; Dwork et al., TCC'06 (Laplace); Balle & Wang, "
        "ICML'18 (analytic Gaussian); in the local model of Kasiviswanathan et al., FOCS'08",
        taxonomy=("inference", "additive perturbation"),
        protects="the sample, and all that follows from it, from the coordinator, whatever it does with what it gets; "
        "how much is epsilon's",
        guarantee="epsilon- (Laplace) or (epsilon, delta)- (Gaussian) local differential privacy of each sample, where "
        "any two samples are neighbours: but for delta, none is more than exp(epsilon) times as likely as another to "
        "have given what was sent. Assumes one release of each sample, and samples that tell nothing of one another; "
        "else epsilons add up, as they do over the passes of a measurement. At the epsilons in the hundreds and "
        "thousands at which images can still be classified, exp(epsilon) promises next to nothing. The theorems are "
        "for real numbers: noise is drawn in double precision from the operating system's randomness and rounded to a "
        "grid, which closes Mironov's attack (CCS'12) but is no proof. It ends at 37 b or 8.5 sigma, so that delta is "
        "larger than stated, Laplace's not exactly 0, by about 1e-11 a value where a value's own epsilon is up to 3",
        task="inference",
        computation="low",
        communication="retention/compression",
        deterministic_bytes=True,
        seeded_answers=False,
    )
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}

    mechanism: str = "laplace"
    """`laplace` or `gaussian`."""
    epsilon: float | None = 1000.0
    """Of each sample as a whole; null where noise_scale is given instead."""
    noise_scale: float | None = None
    """b of the Laplace distribution or sigma of the Gaussian, for values in [0, 1]; null: as epsilon needs it."""
    delta: float = 1e-5
    """Of the Gaussian mechanism; Laplace's is 0."""
    norm: str = "l1"
    """In which norm samples are clipped: `l1` suits Laplace, `l2` Gaussian noise."""
    clip: float = 0.0
    """Samples of a larger norm are scaled down to this, for less noise; 0: none is."""
    encoding: str = "float32"
    """`float32` or `uint8`, 255 steps over the range that noisy values are likely in."""
    recovery: str = "none"
    """At the coordinator: `denoiser` in front of the model, or the model itself `fine_tuned` on noisy samples."""
    epochs: int = 3
    """Passes over the training samples for a recovery, each with noise of its own."""

    def __post_init__(self) -> None:
        """Refuse noise that is not determined, or determined twice, and values out of range."""
        choose("scheme.mechanism", self.mechanism, MECHANISMS)
        choose("scheme.norm", self.norm, NORMS)
        choose("scheme.encoding", self.encoding, ENCODINGS)
        choose("scheme.recovery", self.recovery, RECOVERIES)
        if (self.epsilon is None) == (self.noise_scale is None):
            raise ConfigError(
                f"scheme.epsilon={self.epsilon} and scheme.noise_scale={self.noise_scale}: "
                "one of them must be a number, and the other null"
            )
        if self.epsilon is not None:
            check_epsilon("scheme.epsilon", self.epsilon)
        if self.noise_scale is not None:
            in_range("scheme.noise_scale", self.noise_scale, 1e-9, 1e9)
        check_delta("scheme.delta", self.delta)
        in_range("scheme.clip", self.clip, 0, 1e9)
        in_range("scheme.epochs", self.epochs, 1)

    def check(self, task: Task) -> None:
        """The denoiser is made of convolutions, for images; fine-tuning scales the first layer's weights."""
        first = task.model.network.layers[0]
        if self.recovery == "denoiser" and len(task.facts.sample_shape) != 2:
            raise ConfigError(
                f"scheme.recovery='denoiser' needs images, not samples of shape {task.facts.sample_shape}"
            )
        if self.recovery == "fine_tuned" and not isinstance(first, Linear | Conv2d):
            raise ConfigError(
                f"scheme.recovery='fine_tuned' needs a model whose first layer has weights, not {type(first).__name__}"
            )

    def perturbation(self, facts: TaskFacts) -> Perturbation:
        """What the participant does to samples of this task."""
        kind = MECHANISMS[self.mechanism]
        if self.epsilon is None:
            mechanism = kind(cast(float, self.noise_scale))
        else:
            mechanism = kind.calibrated(self.epsilon, self.delta, self._sensitivity(facts, kind))
        return Perturbation(mechanism, cast(Norm, self.norm), self.clip, self.encoding)

    def macs(self, facts: TaskFacts, artifacts: Mapping[str, Tree]) -> Macs:
        """Zero: values are changed one by one."""
        return Macs()

    def privacy(self, facts: TaskFacts) -> Privacy:
        """What one release of a sample of this task guarantees."""
        mechanism = self.perturbation(facts).mechanism
        return mechanism.privacy(self._sensitivity(facts, type(mechanism)), self.delta, neighbouring="any two samples")

    def _sensitivity(self, facts: TaskFacts, kind: type[Mechanism]) -> float:
        return cube_sensitivity(kind.distance, facts.dimension, cast(Norm, self.norm), self.clip)

    def prepare_key(self, facts: TaskFacts) -> Mapping[str, Any]:
        """Without recovery, all noise meets the same model; with it, the model is trained for this noise."""
        if self.recovery == "none":
            return {"recovery": "none"}
        perturbation = self.perturbation(facts)
        return {
            **{name: getattr(self, name) for name in ("recovery", "mechanism", "encoding", "epochs")},
            "scale": perturbation.mechanism.scale,
            "clip": [self.norm, self.clip] if self.clip else None,
            "seed": facts.seed,
        }

    def prepare(self, task: Task) -> Mapping[str, Tree]:
        """The model, and what recovery needs, trained on the coordinator's own samples with noise added."""
        from schemes.additive_noise.recovery import denoiser, fine_tuned

        model = task.model.network
        arguments = (model, task.dataset, self.perturbation(task.facts), self.epochs, task.seed, task.progress)
        if self.recovery == "denoiser":
            return {"coordinator": {"model": model.to_tree(), "denoiser": denoiser(*arguments).to_tree()}}
        if self.recovery == "fine_tuned":
            model = fine_tuned(*arguments)
        return {"coordinator": {"model": model.to_tree()}}
