"""The protocol of Barni et al., participant beside coordinator."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from ppbench.bundle import Tree
from ppbench.errors import ConfigError, choose
from ppbench.models import fixed_point
from ppbench.models.fixed_point import FixedPoint
from ppbench.models.network import Network
from ppbench.party import Party
from ppbench.scheme import Batch, Role, Scheme, SchemeCard, Task, TaskFacts
from schemes.barni import engine
from schemes.barni.engine import Engine
from schemes.barni.linear import LinearLayer
from schemes.barni.plan import Plan, largest_outputs, split

PLAN = "plan"
_MOST_MORE_BITS = 20
"""Of what is advised."""
INPUTS, OUTPUTS = "layer inputs", "layer outputs"
"""What a participant's view holds of each linear layer: values that it encrypts, and values that it decrypts."""


class Computing(Role["Barni"]):
    """What participant and coordinator have in common."""

    def __init__(self, scheme: Barni) -> None:
        """The engine and its library are imported here."""
        super().__init__(scheme)
        self.engine = scheme.module
        self.engine.import_library()


class Participant(Computing):
    """The IoT device: encrypts, decrypts, and computes in clear what is not linear."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        """Learn the architecture, make the keys; the coordinator gets the public one."""
        self.plan = Plan.from_tree(party.coordinator.receive_tree(PLAN))
        self.client = self.engine.Client(self.scheme, self.plan, party.task)
        party.coordinator.send("public key", *self.client.public_key())

    def online(self, party: Party, batch: Batch) -> None:
        """For each linear layer, encrypted inputs up and encrypted outputs down; the label is found here."""
        values = self.plan.first(party.task.unit(batch.samples))
        for layer, exchange in enumerate(self.plan.exchanges):
            party.observe(INPUTS, values)
            party.coordinator.send("encrypted inputs", *self.client.encrypt(layer, values))
            received = party.coordinator.receive_many("encrypted outputs")
            outputs = self.client.decrypt(layer, batch.size, received)
            party.observe(OUTPUTS, outputs)
            values = exchange.then(outputs)
        party.answer(values.argmax(axis=1), values)


class Coordinator(Computing):
    """The cloud: computes its linear layers on ciphertexts and sees neither their inputs nor their outputs."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        """Tell the architecture without the weights; each participant has keys of its own."""
        plan, self.layers = split(Network.from_tree(artifacts["model"]))
        for participant in party.participants:
            participant.send_tree(PLAN, plan.to_tree())
        self.server = self.engine.Server(self.scheme, self.layers, party.task)
        self.keys = {
            participant.peer: self.server.load(participant.receive_many("public key"))
            for participant in party.participants
        }

    def online(self, party: Party, batch: Batch) -> None:
        """Compute what cannot be read, layer by layer."""
        key = self.keys[party.participant.peer]
        for layer in range(len(self.layers)):
            received = party.participant.receive_many("encrypted inputs")
            party.participant.send("encrypted outputs", *self.server.evaluate(key, layer, batch.size, received))


@dataclasses.dataclass(frozen=True)
class Barni(Scheme):
    """Interactive inference on additively homomorphic ciphertexts, for any network, two rounds per linear layer."""

    name: ClassVar[str] = "barni"
    title: ClassVar[str] = "Barni et al.: linear layers on ciphertexts at the coordinator, activations on the device"
    requires: ClassVar[Mapping[str, str]] = {
        "tenseal": "tenseal>=0.3.16",
        "zstandard": "zstandard>=0.20",
        "phe": "phe>=1.5",
        "gmpy2": "gmpy2>=2.1.4",
    }
    card: ClassVar[SchemeCard] = SchemeCard(
        title="Barni et al.",
        source="Barni, Orlandi and Piva, MM&Sec'06; engine ckks packs after Huang et al., Cheetah, USENIX Security'22, "
        "section 3",
        taxonomy=("inference", "homomorphic encryption", "Barni"),
        protects="the sample, all activations and the label, from the coordinator; the model, hardly, from the "
        "participant",
        guarantee="the sample: 128-bit security of ring learning with errors (engine paillier: 112 bits, factoring of "
        "2048), against a coordinator that is honest but curious. The model: the participant learns the architecture, "
        "and of every linear layer the inputs and outputs for its own samples; from about as many samples as a layer "
        "has inputs it solves for the weights (benchmarks/barni_extraction.py measures it). Beyond these outputs, to "
        "the precision that is sent (engine paillier: exactly), an answer tells nothing: it is blinded by an "
        "encryption of zero, whose noise is flooded, which leaves a statistical distance of 2^-29 for each output "
        "(barni_flooded: 2^-40; engine paillier: 0); averaging T answers to one question wins log2(T)/2 of these bits; "
        "sums that are no outputs are not sent. A participant that does not follow the protocol is not held to it",
        task="inference",
        # Section 2's exemplar of high computation is homomorphic encryption; of MPC, section 2.2.2 says that it
        # "requires many rounds of communication".
        computation="high",
        communication="iterative",
        deterministic_bytes=True,
        seeded_answers=False,
        arithmetic="modular",
    )
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {"participant": Participant, "coordinator": Coordinator}

    engine: str = "ckks"
    """`ckks`: approximate numbers, many in a ciphertext, on Microsoft SEAL; `paillier`: one integer in a ciphertext."""
    activation_bits: int = 8
    """Bits behind the point of what goes into a linear layer and comes out of it."""
    weight_bits: int = 12
    """Bits behind the point of a weight."""
    range_bits: int = 7
    """Engine ckks: a linear layer's outputs are below 2 to the power of this."""
    poly_modulus_degree: int = 2048
    """Engine ckks: coefficients of a polynomial."""
    modulus_bits: int = 53
    """Engine ckks: size of the one prime that is the coefficient modulus."""
    special_modulus_bits: int = 0
    """Engine ckks: size of a prime under which answers are blinded, too; dividing by it leaves less noise to drown."""
    key_bits: int = 2048
    """Engine paillier: size of the modulus."""

    def __post_init__(self) -> None:
        """Refuse an unknown engine; each checks its own parameters in `check`."""
        choose("scheme.engine", self.engine, engine.MODULES)

    @property
    def module(self) -> Engine:
        """What encrypts and computes."""
        return engine.load(self.engine)

    def check(self, task: Task) -> None:
        """Refuse parameters that are insecure or too small for what the layers put out on training samples."""
        plan, layers = split(task.model.network)
        self.module.check(self, layers)
        samples = task.trial_samples()
        limit = self.module.largest_output(self)
        for index, largest in enumerate(largest_outputs(plan, layers, samples)):
            if not largest <= limit:
                raise ConfigError(
                    f"linear layer {index} of the model puts out up to {largest:.3g}, but beyond {limit:.3g} it wraps: "
                    f"scheme.range_bits must be at least {math.ceil(math.log2(largest + 1))}"
                )
        chosen = FixedPoint(self.activation_bits, self.weight_bits)
        option = f"scheme.activation_bits={self.activation_bits} and scheme.weight_bits={self.weight_bits}"
        fixed_point.check(task.model.network, samples, chosen, option, self._finer(layers))

    def _finer(self, layers: Sequence[LinearLayer]) -> Iterator[FixedPoint]:
        """What could be chosen in place of the bits that are, the least first."""
        for more in range(1, _MOST_MORE_BITS + 1):
            bits = FixedPoint(self.activation_bits + more, self.weight_bits + more)
            finer = dataclasses.replace(self, activation_bits=bits.value_bits, weight_bits=bits.weight_bits)
            with contextlib.suppress(ConfigError):
                self.module.check(finer, layers)
                yield bits

    def resident_bytes(self, facts: TaskFacts) -> float:
        """What encryption works on: ciphertexts are sent and decrypted one by one."""
        return self.module.resident_bytes(self)

    def prepare_key(self, facts: TaskFacts) -> Mapping[str, Any]:
        """Nothing is prepared but the model itself."""
        return {}
