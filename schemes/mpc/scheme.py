"""The protocol of multi-party inference: participant and coordinator compute on shares, a dealer helps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from ppbench.bundle import Tree
from ppbench.cache import cache_dir
from ppbench.errors import ConfigError, choose, in_range
from ppbench.models.network import Network
from ppbench.party import Party
from ppbench.scheme import COORDINATOR, Batch, Role, Scheme, SchemeCard, Task, TaskFacts
from schemes.mpc import engines, headroom
from schemes.mpc.outline import outline, weightless
from schemes.mpc.ring import Ring

SPU_REQUIREMENTS = "spu==0.9.5 cryptography"
_ENGINES_WITH = {
    "dealer": ("crypten",),
    "weights": ("crypten", "spu"),
    "pooling": ("crypten",),
    "comparison": ("crypten",),
    "ring_bits": ("crypten",),
    "protocol": ("spu",),
    "environment": ("spu",),
}
"""Option -> the engines that have it."""


class Computing(Role["Mpc"]):
    """What participant and coordinator have in common: each runs one half of an engine."""

    opens_sockets = True

    def __init__(self, scheme: Mpc) -> None:
        """The engine and its library are imported here."""
        super().__init__(scheme)
        self.module = engines.load(scheme.engine)
        self.module.import_library()

    def offline(self, party: Party, batch: Batch) -> None:
        """What can be dealt before there is a sample."""
        self.engine.offline(batch.size)
        self.count(party)

    def close(self, party: Party) -> None:
        """Leave the engine's world."""
        self.engine.close()

    def join(self, party: Party, network: Network) -> None:
        """Meet the other half."""
        self.engine = self.module.join(self.scheme, party, network)
        self.n_rounds = self.n_bytes = 0
        self.count(party)

    def count(self, party: Party) -> None:
        """Hand over what the engine counted since last time; rounds are the participant's."""
        now = self.engine.counts()
        party.count_engine_bytes(now.n_bytes - self.n_bytes)
        if party.name != COORDINATOR:
            party.count_rounds(now.n_rounds - self.n_rounds)
        self.n_rounds, self.n_bytes = now.n_rounds, now.n_bytes


class Participant(Computing):
    """The IoT device: shares its samples, and alone learns the answers."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        """Learn the shape of the network, not its weights."""
        self.join(party, weightless(party.coordinator.receive_tree("outline")))

    def online(self, party: Party, batch: Batch) -> None:
        """Compute on shares."""
        found = self.engine.infer(batch.size, party.task.unit(batch.samples))
        self.count(party)
        assert found is not None
        if self.scheme.reveal == "argmax":
            party.answer(found)
        else:
            party.answer(found.argmax(axis=1), found)


class Coordinator(Computing):
    """The cloud: shares its network, and learns nothing."""

    def setup(self, party: Party, artifacts: Tree) -> None:
        """Show the shape of the network."""
        network = Network.from_tree(artifacts["model"])
        party.participant.send_tree("outline", outline(network))
        self.join(party, network)

    def online(self, party: Party, batch: Batch) -> None:
        """Compute on shares."""
        self.engine.infer(batch.size, None)
        self.count(party)


class Dealer(Role["Mpc"]):
    """The third party: deals correlated randomness, and sees neither sample nor weight."""

    on_critical_path = False
    opens_sockets = True

    def __init__(self, scheme: Mpc) -> None:
        """What it deals with is imported here."""
        super().__init__(scheme)
        self.module = engines.load(scheme.engine)
        self.module.import_dealers_library()

    def setup(self, party: Party, artifacts: Tree) -> None:
        """Say where it is, and give each party the key of its masks."""
        self.dealer = self.module.dealer(self.scheme, party)

    def serve(self, party: Party) -> None:
        """Deal until the coordinator leaves."""
        self.dealer.serve()


@dataclasses.dataclass(frozen=True)
class Mpc(Scheme):
    """Inference by two parties on additive shares, honest but curious, with the help of a dealer."""

    name: ClassVar[str] = "mpc"
    title: ClassVar[str] = "multi-party computation: the network on secret shares, with a dealer"
    requires: ClassVar[Mapping[str, str]] = {
        "torch": "torch>=2.13",
        "crypten": "crypten==0.4.1",
        "onnx": "onnx>=1.16",
        "yaml": "pyyaml>=6",
        "cryptography": "cryptography>=42",
    }
    card: ClassVar[SchemeCard] = SchemeCard(
        title="MPC",
        source="Knott et al., CrypTen, NeurIPS'21; Beaver, CRYPTO'91; Patra et al., ABY2.0, USENIX Security'21; "
        "engine spu: Ma et al., SecretFlow-SPU, USENIX ATC'23",
        taxonomy=("inference", "secure multi-party computation", "CrypTen"),
        protects="the sample and the label, from the coordinator; the model's weights, from the participant",
        guarantee="against parties that are honest but curious, and a dealer that colludes with neither: it deals "
        "masks and sees no message. Private links are assumed, and not made: who reads those to the dealer has the "
        "masks. A product x that is truncated on shares (engine spu: not) wraps with a probability of |x| / 2^(bits of "
        "the ring - 1), small, at most 1e-3 a sample in all, but decided by hidden values. The participant learns the "
        "layers' shapes and the logits (reveal=argmax: the label alone). Our masks are AES-128 in counter mode by keys "
        "of the operating system; where an option is `stock` they are CrypTen's, from a Mersenne Twister, which is no "
        "cryptographic generator. provider=tfp: no privacy, lower bound, because the coordinator knows every mask",
        task="inference",
        # Section 2.2.2 speaks of its rounds alone.
        computation=None,
        communication="iterative",
        deterministic_bytes=False,
        seeded_answers=False,
        arithmetic="integer",
        several_participants=False,
    )
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = {
        "participant": Participant,
        "coordinator": Coordinator,
        "dealer": Dealer,
    }

    engine: str = "crypten"
    """`crypten`: CrypTen with the protocols of the options below; `stock`: CrypTen as its examples use it; `spu`:
    SecretFlow SPU."""
    protocol: str = "semi2k"
    """Engine spu: `semi2k`, with a dealer; `cheetah`: two parties alone."""
    environment: str = ""
    """Engine spu: folder of the Python environment that has it; empty: `spu` in ppbench's cache folder."""
    provider: str = "ttp"
    """`ttp`: a trusted third party deals; `tfp`: the coordinator does (no privacy: lower bound)."""
    dealer: str = "on_demand"
    """`on_demand`: correlations are asked for when they are used up; `prefetch`: in the offline stage."""
    weights: str = "open_once"
    """Masked weights are opened once, or for every batch as CrypTen does (`stock`)."""
    pooling: str = "tree"
    """Engine crypten: maxima of two at a time, ReLU behind them; or CrypTen's (`stock`)."""
    comparison: str = "carry"
    """Engine crypten: signs by a carry tree on bits; or CrypTen's (`stock`)."""
    precision_bits: int = 0
    """Behind the point of a fixed-point number; 0: 14 for our own protocols, 16 where CrypTen's take part, 18 SPU."""
    ring_bits: int = 0
    """Of a number in all; 0: 56 for our own protocols. CrypTen's have 64."""
    reveal: str = "logits"
    """What the participant learns: `logits`, or the label alone (`argmax`)."""

    def __post_init__(self) -> None:
        """Refuse unknown options, and those that the engine does not have."""
        choose("scheme.engine", self.engine, engines.ENGINES)
        choose("scheme.protocol", self.protocol, ("semi2k", "cheetah"))
        choose("scheme.provider", self.provider, ("ttp", "tfp"))
        choose("scheme.dealer", self.dealer, ("on_demand", "prefetch"))
        choose("scheme.weights", self.weights, ("open_once", "stock"))
        choose("scheme.pooling", self.pooling, ("tree", "stock"))
        choose("scheme.comparison", self.comparison, ("carry", "stock"))
        choose("scheme.reveal", self.reveal, ("logits", "argmax"))
        in_range("scheme.precision_bits", self.precision, 8, headroom.MOST_PRECISION_BITS)
        if self.ring_bits not in (0, 48, 56, 64):
            raise ConfigError(f"scheme.ring_bits={self.ring_bits} must be 48, 56 or 64")
        for option, engines_with_it in _ENGINES_WITH.items():
            value = getattr(self, option)
            if self.engine not in engines_with_it and value != type(self).defaults()[option]:
                raise ConfigError(f"scheme.{option}={value} is for scheme.engine={' or '.join(engines_with_it)} alone")
        if self.is_ours:
            return
        theirs = "CrypTen's own, which the engine or scheme.weights, scheme.pooling or scheme.comparison=stock ask for"
        if self.dealer == "prefetch":
            raise ConfigError(f"scheme.dealer=prefetch is for our protocols: {theirs}, ask the dealer when in need")
        if self.ring_bits not in (0, 64):
            raise ConfigError(f"scheme.ring_bits={self.ring_bits} is for our protocols: {theirs}, have 64")

    def variant(self) -> str:
        """Options that differ from the defaults; a provider that sees through every mask is never shown without it."""
        return super().variant() + (" (no privacy: lower bound)" if self.provider == "tfp" else "")

    @property
    def is_ours(self) -> bool:
        """Whether none of CrypTen's own protocols takes part."""
        return self.engine == "crypten" and "stock" not in (self.weights, self.pooling, self.comparison)

    @property
    def ring(self) -> Ring:
        """What is computed in."""
        return Ring(self.ring_bits or (56 if self.is_ours else 64))

    @property
    def precision(self) -> int:
        """Bits behind the point."""
        return self.precision_bits or (14 if self.is_ours else 18 if self.engine == "spu" else 16)

    def one_way_steps(self, rounds: int) -> int:
        """Gloo sends no message before the receiver's word that it waits for it, and CrypTen opens by two messages.

        In our own protocols the coordinator waits for a batch before it comes, and the participant for the answers.
        """
        if self.engine == "spu":
            return rounds
        return max(rounds, 2 * rounds - 2) if self.is_ours else 4 * rounds

    @property
    def has_dealer(self) -> bool:
        """Whether a third party deals."""
        return self.provider == "ttp" and self.protocol != "cheetah"

    def active_roles(self) -> tuple[str, ...]:
        """No dealer where the coordinator deals or nobody does."""
        return tuple(role for role in self.roles if role != "dealer" or self.has_dealer)

    @classmethod
    def why_not(cls) -> str | None:
        """CrypTen itself goes in without what it declares, of which one package is dead."""
        if not (missing := cls.missing()):
            return None
        return (
            f"'{cls.name}' needs {', '.join(missing)}: pip install 'ppbench-iot[mpc]' && "
            f"pip install --no-deps {cls.requires['crypten']}"
        )

    def interpreter(self) -> Path | None:
        """SPU's own environment."""
        if self.engine != "spu":
            return None
        folder = Path(self.environment).expanduser() if self.environment else cache_dir() / "spu"
        return folder / "bin" / "python"

    def unavailable(self) -> str | None:
        """SPU needs nothing here, but an environment of its own: it pins numpy below 2."""
        python = self.interpreter()
        if python is None:
            return self.why_not()
        if python.exists():
            return None
        return (
            f"'{self.name}' with engine=spu needs an environment of its own: python3 -m venv {python.parents[1]} && "
            f"{python} -m pip install {SPU_REQUIREMENTS}"
        )

    def check(self, task: Task) -> None:
        """Refuse layers that cannot be computed on shares, and numbers too large or too small for the precision."""
        headroom.check(self, task)

    def prepare_key(self, facts: TaskFacts) -> Mapping[str, Any]:
        """Nothing is prepared but the model itself."""
        return {}
