"""One image in one ciphertext, packed by hand for Microsoft SEAL: the least time for one answer.

Two primes and one special prime carry five multiplications: only the hidden layer's output is rescaled. Before it
all is computed at the full modulus, where a scale of 2^78 leaves room; after it a square and a layer of weights
take what is left. With circuit privacy every scale is so large that what is no logit can be drowned: three primes are
dropped behind the hidden layer, and two behind the logits.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ppbench.bundle import Array
from ppbench.errors import ConfigError, ProtocolError
from ppbench.he import seal
from ppbench.he.seal import Seal
from ppbench.he.wire import public_key_bytes
from ppbench.models.network import Network
from ppbench.scheme import TaskFacts
from schemes.cryptonets import circuit_privacy
from schemes.cryptonets.circuit_privacy import Flooding
from schemes.cryptonets.layout import Layers, Layout
from schemes.cryptonets.parameters import Parameters
from schemes.cryptonets.rounding import Rounding

if TYPE_CHECKING:
    from schemes.cryptonets.scheme import CryptoNets

RECOMMENDED = Parameters(8192, (60, 60, 60), (17, 14, 16, 19))
"""Scales: of the pixels, and of the weights of the convolution, the hidden layer and the output layer."""
PRIVATE = Parameters(16384, (60, 55, 55, 60, 60, 60, 60), (50, 44, 42, 60))
"""With circuit privacy."""
_MIN_HIDDEN_BITS = 16
"""Scale of the hidden layer after rescaling, whose rounding has a standard deviation of 2^11 in a slot."""


@dataclasses.dataclass(frozen=True)
class Circuit:
    """The parameters of a scheme, and where primes are dropped."""

    parameters: Parameters
    behind_hidden: int
    """How many of the last primes for data are dropped where the hidden layer's output is rescaled."""
    behind_logits: int
    """How many of the next ones are dropped at the end; one is left."""

    @classmethod
    def of(cls, scheme: CryptoNets) -> Circuit:
        """With circuit privacy or without."""
        if scheme.circuit_privacy:
            return cls(Parameters.chosen(scheme, PRIVATE), behind_hidden=3, behind_logits=2)
        return cls(Parameters.chosen(scheme, RECOMMENDED), behind_hidden=1, behind_logits=0)

    @property
    def n_primes(self) -> int:
        """One is never dropped, and one is special."""
        return 2 + self.behind_hidden + self.behind_logits

    @property
    def hidden_bits(self) -> int:
        """log2 of the hidden layer's scale, rescaled."""
        pixels, convolution, hidden, _ = self.parameters.scale_bits
        dropped = self.parameters.modulus_bits[-1 - self.behind_hidden : -1]
        return 2 * (pixels + convolution) + hidden - sum(dropped)

    @property
    def logit_bits(self) -> int:
        """log2 of the logits' scale at the end."""
        dropped = self.parameters.modulus_bits[1 : 1 + self.behind_logits]
        return 2 * self.hidden_bits + self.parameters.scale_bits[3] - sum(dropped)

    @property
    def drowning_bits(self) -> int:
        """What circuit privacy promises: see `circuit_privacy.drowning_bits`."""
        pixels, *weights = self.parameters.scale_bits
        degree = self.parameters.poly_modulus_degree
        return circuit_privacy.drowning_bits(degree, pixels, weights, self.hidden_bits)


@dataclasses.dataclass(frozen=True)
class Scales:
    """What values are multiplied by on their way through the network."""

    features: float
    hidden: float
    """Before it is rescaled."""
    logits: float
    """Before they are."""
    answers: float

    @classmethod
    def of(cls, circuit: Circuit, context: Seal) -> Scales:
        """As `Server` computes them."""
        pixels, convolution, hidden, output = (2.0**bits for bits in circuit.parameters.scale_bits)
        features = pixels * convolution
        sums = features**2 * hidden
        *primes, _ = reversed(seal.primes(context))
        behind_hidden, behind_logits = primes[: circuit.behind_hidden], primes[circuit.behind_hidden :]
        logits = functools.reduce(operator.truediv, behind_hidden, sums) ** 2 * output
        return cls(features, sums, logits, functools.reduce(operator.truediv, behind_logits, logits))


class Client:
    """The participant's part: the only one that has the secret key."""

    def __init__(self, scheme: CryptoNets, task: TaskFacts) -> None:
        import tenseal.sealapi as sealapi

        self._sealapi = sealapi
        circuit = Circuit.of(scheme)
        parameters = circuit.parameters
        self._layout = _layout(parameters, task)
        self._scale = 2.0 ** parameters.scale_bits[0]
        self._degree = parameters.poly_modulus_degree
        self._context = parameters.context()
        self._generator = sealapi.KeyGenerator(self._context)
        secret_key = self._generator.secret_key()
        self._encryptor = sealapi.Encryptor(self._context, secret_key)
        self._decryptor = sealapi.Decryptor(self._context, secret_key)
        self._encoder = sealapi.CKKSEncoder(self._context)
        self._rounding = Rounding(self._context, Scales.of(circuit, self._context).answers)
        self._is_blinded = scheme.circuit_privacy

    def public_material(self) -> list[Array]:
        """The relinearisation key and the Galois keys of the rotations in use, each half of them as a seed.

        For circuit privacy the public key, too.
        """
        elements = seal.galois_elements(self._layout.rotations, self._degree)
        keys = self._generator.create_relin_keys(), self._generator.create_galois_keys(elements)
        return [*map(seal.save, keys), *([public_key_bytes(self._generator)] if self._is_blinded else [])]

    def encrypt(self, samples: Array) -> list[Array]:
        """(n, d) in [0, 1] -> n ciphertexts, each half a seed because it is encrypted with the secret key."""
        return seal.join([self._encrypt(sample) for sample in samples])

    def decrypt(self, arrays: Sequence[Array]) -> Array:
        """The n ciphertexts of `evaluate` -> logits (n, classes)."""
        return np.array([self._logits(item) for item in seal.split(arrays)])

    def _logits(self, item: Array) -> Array:
        copies: Array = np.reshape(self.slots(item), (-1, self._layout.block))[:, : self._layout.n_classes]
        # The flooding of one says nothing of the others'.
        return np.asarray(copies.mean(axis=0) if self._is_blinded else copies[0])

    def slots(self, item: Array) -> list[float]:
        """All that the secret key shows of one result, beyond the logits too: what the participant could learn."""
        plaintext = self._sealapi.Plaintext()
        self._decryptor.decrypt(self._rounding.restore(item), plaintext)
        values: list[float] = self._encoder.decode_double(plaintext)
        return values

    def _encrypt(self, sample: Array) -> Array:
        plaintext = self._sealapi.Plaintext()
        self._encoder.encode(self._layout.image(sample).tolist(), self._scale, plaintext)
        return seal.save(self._encryptor.encrypt_symmetric(plaintext))


class Weights:
    """The network's weights as plaintexts, each with the rotation that goes with it.

    Those that round to 0 are left out: SEAL refuses to multiply by 0, because the product would hide nothing.
    """

    def __init__(self, context: Seal, layout: Layout, layers: Layers, circuit: Circuit) -> None:
        """Raises ConfigError if of a layer none is left."""
        import tenseal.sealapi as sealapi

        self._sealapi = sealapi
        self._encoder = sealapi.CKKSEncoder(context)
        levels = seal.levels(context)
        self.top, self.bottom = levels[0], levels[circuit.behind_hidden]
        _, convolution, hidden, output = circuit.parameters.scale_bits
        kernels, dense = layout.convolution(layers.convolution), layout.hidden(layers.hidden)
        self.convolution = self._layer(layout.map_rotations, kernels, self.top, convolution)
        self.hidden = self._layer(layout.feature_rotations, dense, self.top, hidden)
        self.output = self._layer([0], [layout.output(layers.output)], self.bottom, output)

    def encode(self, values: Array, level: Seal, scale: float) -> Seal:
        """(slots,) -> a plaintext."""
        plaintext = self._sealapi.Plaintext()
        self._encoder.encode(values.tolist(), level, scale, plaintext)
        return plaintext

    def _layer(
        self, rotations: Sequence[int], vectors: Sequence[Array], level: Seal, bits: int
    ) -> list[tuple[int, Seal]]:
        encoded = [(by, self.encode(v, level, 2.0**bits)) for by, v in zip(rotations, vectors, strict=True)]
        if found := [(by, weights) for by, weights in encoded if not weights.is_zero()]:
            return found
        raise ConfigError(f"scheme.scale_bits: {bits} are too few for a layer in which all weights round to 0")


class Server:
    """The coordinator's part: weights, and keys that cannot decrypt."""

    def __init__(self, scheme: CryptoNets, network: Network) -> None:
        import tenseal.sealapi as sealapi

        self._sealapi = sealapi
        self._circuit = Circuit.of(scheme)
        self._context = self._circuit.parameters.context()
        self._evaluator = sealapi.Evaluator(self._context)
        self._layout = Layout(self._circuit.parameters.n_slots, network.input_shape[1:], network.shapes[-1][0])
        scales = Scales.of(self._circuit, self._context)
        self._encode_weights(Layers.of(network), scales)
        self._rounding = Rounding(self._context, scales.answers)
        self._flooding = Flooding(self._context, scales.answers) if scheme.circuit_privacy else None

    def _encode_weights(self, layers: Layers, scales: Scales) -> None:
        layout = self._layout
        self._weights = Weights(self._context, layout, layers, self._circuit)
        encode, top, bottom = self._weights.encode, self._weights.top, self._weights.bottom
        self._convolution_bias = encode(layout.convolution_bias(layers.convolution), top, scales.features)
        self._hidden_bias = encode(layout.hidden_bias(layers.hidden), top, scales.hidden)
        self._output_bias = encode(layout.output_bias(layers.output), bottom, scales.logits)

    def load(self, public_material: Sequence[Array]) -> None:
        """The participant's keys. Raises ProtocolError if they are none."""
        n_keys = 3 if self._flooding else 2
        if len(public_material) != n_keys:
            raise ProtocolError(f"{n_keys} keys are awaited, not {len(public_material)} arrays")
        relinearisation, galois, *public = public_material
        if self._flooding:
            self._flooding.load(*public)
        self._relinearisation_key = seal.load(self._sealapi.RelinKeys(), self._context, relinearisation)
        self._galois_keys = seal.load(self._sealapi.GaloisKeys(), self._context, galois)

    def evaluate(self, arrays: Sequence[Array]) -> list[Array]:
        """The n encrypted images of `encrypt` -> n ciphertexts of logits."""
        images = (seal.load(self._sealapi.Ciphertext(), self._context, item) for item in seal.split(arrays))
        return seal.join([self._answer(self._network(image)) for image in images])

    def _answer(self, logits: Seal) -> Array:
        if self._flooding is None:
            return self._rounding.shorten(logits)
        self._flooding.blind(logits)
        return self._rounding.shorten(logits, self._flooding.noise(self._circuit.parameters.poly_modulus_degree))

    def _network(self, image: Seal) -> Seal:
        layout, evaluator, network = self._layout, self._evaluator, self._weights

        features = self._sum(self._rotated(self._times(image, weights), by) for by, weights in network.convolution)
        self._fold(features, layout.pixel_sums)
        evaluator.add_plain_inplace(features, self._convolution_bias)
        self._square(features)

        hidden = self._sum(self._times(self._rotated(features, by), weights) for by, weights in network.hidden)
        self._fold(hidden, layout.block_sums)
        evaluator.add_plain_inplace(hidden, self._hidden_bias)
        self._rescale(hidden, self._circuit.behind_hidden)
        self._square(hidden)

        logits = self._sum(self._times(hidden, weights) for _, weights in network.output)
        self._fold(logits, layout.class_sums)
        evaluator.add_plain_inplace(logits, self._output_bias)
        self._rescale(logits, self._circuit.behind_logits)
        return logits

    def _times(self, ciphertext: Seal, weights: Seal) -> Seal:
        product = self._sealapi.Ciphertext(self._context)
        self._evaluator.multiply_plain(ciphertext, weights, product)
        return product

    def _rotated(self, ciphertext: Seal, steps: int) -> Seal:
        if steps == 0:
            return ciphertext
        rotated = self._sealapi.Ciphertext(self._context)
        self._evaluator.rotate_vector(ciphertext, steps, self._galois_keys, rotated)
        return rotated

    def _sum(self, terms: Iterable[Seal]) -> Seal:
        first, *others = terms
        for term in others:
            self._evaluator.add_inplace(first, term)
        return first

    def _fold(self, ciphertext: Seal, rotations: Sequence[int]) -> None:
        """Add to every slot those that stand 1, 2, 3, ... times the first rotation to its right."""
        for steps in rotations:
            self._evaluator.add_inplace(ciphertext, self._rotated(ciphertext, steps))

    def _rescale(self, ciphertext: Seal, n_primes: int) -> None:
        for _ in range(n_primes):
            self._evaluator.rescale_to_next_inplace(ciphertext)

    def _square(self, ciphertext: Seal) -> None:
        self._evaluator.square_inplace(ciphertext)
        self._evaluator.relinearize_inplace(ciphertext, self._relinearisation_key)


def parameters(scheme: CryptoNets) -> Parameters:
    """The scheme's own, or the recommended ones."""
    return Parameters.chosen(scheme, RECOMMENDED)


def check(scheme: CryptoNets, network: Network, task: TaskFacts) -> None:
    """Raise ConfigError unless this network can be computed with these parameters; no key is made."""
    circuit = Circuit.of(scheme)
    parameters = circuit.parameters
    parameters.check(circuit.n_primes, n_scales=4)
    layers, layout = Layers.of(network), _layout(parameters, task)
    if (missing := _MIN_HIDDEN_BITS - circuit.hidden_bits) > 0:
        pixels, convolution, hidden, _ = parameters.scale_bits
        raise ConfigError(
            f"scheme.scale_bits={list(parameters.scale_bits)} leave the hidden layer {circuit.hidden_bits} bits after "
            "its rescaling: twice the first two plus the third must be at least "
            f"{2 * (pixels + convolution) + hidden + missing}"
        )
    if scheme.circuit_privacy and (bits := circuit.drowning_bits) < circuit_privacy.LEAST_BITS:
        raise ConfigError(
            f"scheme.scale_bits={list(parameters.scale_bits)} leave flooding 2^{bits} times what it has to drown; "
            f"scheme.circuit_privacy=true needs 2^{circuit_privacy.LEAST_BITS} times"
        )
    Weights(parameters.context(), layout, layers, circuit)


def largest_logit(scheme: CryptoNets, task: TaskFacts) -> float:
    """The |logit| beyond which the result wraps; what is 0 in most slots has small coefficients."""
    circuit = Circuit.of(scheme)
    occupied = task.n_classes / _layout(circuit.parameters, task).block
    # A coefficient is at most the mean magnitude of the slots. It wraps at half the prime that is left, and SEAL
    # encodes none above a quarter.
    return float(2.0 ** (circuit.parameters.modulus_bits[0] - 2 - circuit.logit_bits) / occupied)


def _layout(parameters: Parameters, task: TaskFacts) -> Layout:
    return Layout(parameters.n_slots, task.sample_shape, task.n_classes)
