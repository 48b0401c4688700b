"""The protocol of CryptoNets, participant beside coordinator."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Tree
from ppbench.errors import ConfigError, choose, in_range
from ppbench.he import seal
from ppbench.he.security import GUIDELINES_2024, MAX_MODULUS_BITS
from ppbench.models.network import Conv2d, Linear, Network
from ppbench.party import Party
from ppbench.scheme import Batch, Role, Scheme, SchemeCard, Task, TaskFacts
from schemes.cryptonets import packing
from schemes.cryptonets.packing import Packing


class Computing(Role["CryptoNets"]):
    """What participant and coordinator have in common."""

    def __init__(self, scheme: CryptoNets) -> None:
        """The packing and SEAL are imported here."""
        super().__init__(scheme)
        self.packing = scheme.module
        seal.import_library()


class Participant(Computing):
    """The IoT device: encrypts its samples and alone can decrypt what is computed on them."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        """Make the keys; the coordinator gets those it computes with."""
        self.client = self.packing.Client(self.scheme, party.task)
        party.coordinator.send("keys", *self.client.public_material())

    def online(self, party: Party, batch: Batch) -> None:
        """Encrypted samples up, encrypted logits down; the label is found here."""
        party.coordinator.send("samples", *self.client.encrypt(party.task.unit(batch.samples)))
        logits = self.client.decrypt(party.coordinator.receive_many("logits"))
        party.answer(logits.argmax(axis=1), logits)


class Coordinator(Computing):
    """The cloud: computes its network on ciphertexts and sees neither sample nor result."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        """Encode the network; each participant has keys of its own."""
        network = Network.from_tree(artifacts["model"])
        self.servers = {}
        for participant in party.participants:
            server = self.packing.Server(self.scheme, network)
            server.load(participant.receive_many("keys"))
            self.servers[participant.peer] = server

    def online(self, party: Party, batch: Batch) -> None:
        """Compute what cannot be read."""
        server = self.servers[party.participant.peer]
        party.participant.send("logits", *server.evaluate(party.participant.receive_many("samples")))


@dataclasses.dataclass(frozen=True)
class CryptoNets(Scheme):
    """Inference on CKKS ciphertexts by a network whose activation is the square."""

    name: ClassVar[str] = "cryptonets"
    title: ClassVar[str] = "CryptoNets: the coordinator computes on homomorphically encrypted samples"
    requires: ClassVar[Mapping[str, str]] = {"tenseal": "tenseal>=0.3.16", "zstandard": "zstandard>=0.20"}
    card: ClassVar[SchemeCard] = SchemeCard(
        title="CryptoNets",
        source="Gilad-Bachrach et al., CryptoNets, ICML'16; latency packing after Brutzkus et al., LoLa, ICML'19",
        taxonomy=("inference", "homomorphic encryption", "CryptoNets"),
        protects="the sample and the label, from the coordinator; the model's weights, from the participant",
        guarantee="the sample: 128-bit security of ring learning with errors (cryptonets_tenseal: a little below, by "
        "its tutorial's parameters), against a coordinator that is honest but curious and never learns what is "
        "decrypted. The model: only as far as logits do not tell, and the participant gets all logits instead of the "
        "label. There is no circuit privacy: an answer follows from weights and ciphertext alone, so that one answer "
        "tests a guess of a weight exactly. With circuit_privacy=true it is blinded and flooded: what it holds besides "
        "the logits is told from nothing by 2^-29 a coefficient, and averaging T answers wins log2(T)/2 of these bits. "
        "Without it, in latency packing with engine sealapi the slots beyond the logits are multiplied by 0 but for "
        "the rounding of the weights, with engine tenseal they hold partial sums",
        task="inference",
        computation="high",
        communication="swelling",
        deterministic_bytes=False,
        seeded_answers=False,
        arithmetic="modular",
    )
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}

    engine: str = "sealapi"
    """`sealapi`: Microsoft SEAL, packed by hand; `tenseal`: TenSEAL's tensors as its tutorials use them (baseline)."""
    packing: str = "latency"
    """`latency`: one image in a ciphertext; `throughput`: one pixel of many images in a ciphertext."""
    evaluation_keys: bool = True
    """Throughput with engine sealapi: False saves their upload, at the price of larger ciphertexts."""
    circuit_privacy: bool = False
    """Latency with engine sealapi: whether answers are blinded and flooded, so that they tell the logits alone."""
    poly_modulus_degree: int = 0
    """0: what the packing recommends, as for the next two."""
    modulus_bits: tuple[int, ...] = ()
    """Sizes of the primes of the coefficient modulus, the special prime last."""
    scale_bits: tuple[int, ...] = ()
    """log2 of the scales; which they are depends on the packing."""
    security: str = GUIDELINES_2024
    """The table of parameters that 128 bits of security are read from: `guidelines_2024` (Bossuat et al.), or the
    `standard_2018`, a little below 128 bits by what is known today, which TenSEAL's tutorial (engine tenseal, latency)
    keeps to."""

    def __post_init__(self) -> None:
        """Refuse what no packing knows; each checks its own parameters in `check`."""
        choose("scheme.engine", self.engine, {engine for engine, _ in packing.MODULES})
        choose("scheme.packing", self.packing, {name for _, name in packing.MODULES})
        choose("scheme.security", self.security, MAX_MODULUS_BITS)
        if self.circuit_privacy and (self.engine, self.packing) != ("sealapi", "latency"):
            raise ConfigError(
                f"scheme.circuit_privacy=true is for scheme.engine=sealapi with scheme.packing=latency, not for "
                f"scheme.engine={self.engine} with scheme.packing={self.packing}"
            )
        in_range("scheme.poly_modulus_degree", self.poly_modulus_degree, 0)

    @property
    def module(self) -> Packing:
        """What encrypts and computes for this engine and packing."""
        return packing.load(self.engine, self.packing)

    def check(self, task: Task) -> None:
        """Refuse parameters that are insecure or too small, and networks with another activation than the square."""
        network = task.model.network
        for index, layer in enumerate(network.layers):
            if isinstance(layer, Conv2d | Linear) and not layer.weight.any():
                raise ConfigError(f"model: all weights of layer {index} are 0, so no logit depends on the sample")
        self.module.check(self, network, task.facts)
        largest = float(np.abs(network(task.trial_samples())).max())
        limit = self.module.largest_logit(self, task.facts)
        if largest > limit:
            raise ConfigError(
                f"the model's logits reach {largest:.3g}, but beyond {limit:.3g} they wrap: smaller scheme.scale_bits, "
                "a larger first prime in scheme.modulus_bits or a smaller model.logit_limit leave more room"
            )

    def resident_bytes(self, facts: TaskFacts) -> float:
        """What encryption works on, and the images of one ciphertext, a byte a value: keys go as they are made."""
        chosen = self.module.parameters(self)
        n_images = facts.batch_size if self.packing == "throughput" else 1
        return seal.resident_bytes(chosen.poly_modulus_degree, chosen.modulus_bits) + n_images * facts.dimension

    def prepare_key(self, facts: TaskFacts) -> Mapping[str, Any]:
        """Nothing is prepared but the model itself."""
        return {}
