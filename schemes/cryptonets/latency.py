"""One image in one ciphertext, packed by hand for Microsoft SEAL: the least time for one answer.

Two primes and one special prime carry five multiplications: only the hidden layer's output is rescaled. Before it
all is computed at the full modulus, where a scale of 2^78 leaves room; after it a square and a layer of weights
take what is left.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ppbench.bundle import Array
from ppbench.errors import ConfigError, ProtocolError
from ppbench.he import seal
from ppbench.he.seal import Seal
from ppbench.models.network import Network
from ppbench.scheme import TaskFacts
from schemes.cryptonets.layout import Layers, Layout
from schemes.cryptonets.parameters import Parameters
from schemes.cryptonets.rounding import Rounding

if TYPE_CHECKING:
    from schemes.cryptonets.scheme import CryptoNets

RECOMMENDED = Parameters(8192, (60, 60, 60), (17, 14, 16, 19))
"""Scales: of the pixels, and of the weights of the convolution, the hidden layer and the output layer."""
_MIN_HIDDEN_BITS = 16
"""Scale of the hidden layer after rescaling, whose rounding has a standard deviation of 2^11 in a slot."""


@dataclasses.dataclass(frozen=True)
class Scales:
    """What values are multiplied by on their way through the network."""

    features: float
    hidden: float
    """Before it is rescaled."""
    logits: float

    @classmethod
    def of(cls, parameters: Parameters, context: Seal) -> Scales:
        """Of the circuit in `Server`."""
        pixels, convolution, hidden, output = (2.0**bits for bits in parameters.scale_bits)
        features = pixels * convolution
        sums = features**2 * hidden
        return cls(features, sums, (sums / seal.primes(context)[-1]) ** 2 * output)


class Client:
    """The participant's part: the only one that has the secret key."""

    def __init__(self, scheme: CryptoNets, task: TaskFacts) -> None:
        import tenseal.sealapi as sealapi

        self._sealapi = sealapi
        parameters = Parameters.chosen(scheme, RECOMMENDED)
        self._layout = _layout(parameters, task)
        self._scale = 2.0 ** parameters.scale_bits[0]
        self._degree = parameters.poly_modulus_degree
        self._context = parameters.context()
        self._generator = sealapi.KeyGenerator(self._context)
        secret_key = self._generator.secret_key()
        self._encryptor = sealapi.Encryptor(self._context, secret_key)
        self._decryptor = sealapi.Decryptor(self._context, secret_key)
        self._encoder = sealapi.CKKSEncoder(self._context)
        self._rounding = Rounding(self._context, Scales.of(parameters, self._context).logits)

    def public_material(self) -> list[Array]:
        """The relinearisation key and the Galois keys of the rotations in use, each half of them as a seed."""
        elements = seal.galois_elements(self._layout.rotations, self._degree)
        keys = self._generator.create_relin_keys(), self._generator.create_galois_keys(elements)
        return [seal.save(key) for key in keys]

    def encrypt(self, samples: Array) -> list[Array]:
        """(n, d) in [0, 1] -> n ciphertexts, each half a seed because it is encrypted with the secret key."""
        return seal.join([self._encrypt(sample) for sample in samples])

    def decrypt(self, arrays: Sequence[Array]) -> Array:
        """The n ciphertexts of `evaluate` -> logits (n, classes)."""
        return np.array([self.slots(item)[: self._layout.n_classes] for item in seal.split(arrays)])

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

    def __init__(self, context: Seal, layout: Layout, layers: Layers, parameters: Parameters) -> None:
        """Raises ConfigError if of a layer none is left."""
        import tenseal.sealapi as sealapi

        self._sealapi = sealapi
        self._encoder = sealapi.CKKSEncoder(context)
        top, bottom = seal.levels(context)
        _, convolution, hidden, output = parameters.scale_bits
        self.convolution = self._layer(layout.map_rotations, layout.convolution(layers.convolution), top, convolution)
        self.hidden = self._layer(layout.feature_rotations, layout.hidden(layers.hidden), top, hidden)
        self.output = self._layer([0], [layout.output(layers.output)], bottom, output)

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
        parameters = Parameters.chosen(scheme, RECOMMENDED)
        self._context = parameters.context()
        self._evaluator = sealapi.Evaluator(self._context)
        self._layout = Layout(parameters.n_slots, network.input_shape[1:], network.shapes[-1][0])
        self._encode_weights(Layers.of(network), parameters)

    def _encode_weights(self, layers: Layers, parameters: Parameters) -> None:
        layout = self._layout
        self._weights = Weights(self._context, layout, layers, parameters)
        encode, scales = self._weights.encode, Scales.of(parameters, self._context)
        top, bottom = seal.levels(self._context)
        self._convolution_bias = encode(layout.convolution_bias(layers.convolution), top, scales.features)
        self._hidden_bias = encode(layout.hidden_bias(layers.hidden), top, scales.hidden)
        self._output_bias = encode(layout.output_bias(layers.output), bottom, scales.logits)
        self._rounding = Rounding(self._context, scales.logits)

    def load(self, public_material: Sequence[Array]) -> None:
        """The participant's keys. Raises ProtocolError if they are none."""
        if len(public_material) != 2:
            raise ProtocolError(f"two keys are awaited, not {len(public_material)} arrays")
        relinearisation, galois = public_material
        self._relinearisation_key = seal.load(self._sealapi.RelinKeys(), self._context, relinearisation)
        self._galois_keys = seal.load(self._sealapi.GaloisKeys(), self._context, galois)

    def evaluate(self, arrays: Sequence[Array]) -> list[Array]:
        """The n encrypted images of `encrypt` -> n ciphertexts of logits."""
        images = (seal.load(self._sealapi.Ciphertext(), self._context, item) for item in seal.split(arrays))
        return seal.join([self._rounding.shorten(self._network(image)) for image in images])

    def _network(self, image: Seal) -> Seal:
        layout, evaluator, network = self._layout, self._evaluator, self._weights

        features = self._sum(self._rotated(self._times(image, weights), by) for by, weights in network.convolution)
        self._fold(features, layout.pixel_sums)
        evaluator.add_plain_inplace(features, self._convolution_bias)
        self._square(features)

        hidden = self._sum(self._times(self._rotated(features, by), weights) for by, weights in network.hidden)
        self._fold(hidden, layout.block_sums)
        evaluator.add_plain_inplace(hidden, self._hidden_bias)
        evaluator.rescale_to_next_inplace(hidden)
        self._square(hidden)

        logits = self._sum(self._times(hidden, weights) for _, weights in network.output)
        self._fold(logits, layout.class_sums)
        evaluator.add_plain_inplace(logits, self._output_bias)
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

    def _square(self, ciphertext: Seal) -> None:
        self._evaluator.square_inplace(ciphertext)
        self._evaluator.relinearize_inplace(ciphertext, self._relinearisation_key)


def parameters(scheme: CryptoNets) -> Parameters:
    """The scheme's own, or the recommended ones."""
    return Parameters.chosen(scheme, RECOMMENDED)


def check(scheme: CryptoNets, network: Network, task: TaskFacts) -> None:
    """Raise ConfigError unless this network can be computed with these parameters; no key is made."""
    parameters = Parameters.chosen(scheme, RECOMMENDED)
    parameters.check(n_primes=3, n_scales=4)
    layers, layout = Layers.of(network), _layout(parameters, task)
    if (bits := _hidden_bits(parameters)) < _MIN_HIDDEN_BITS:
        raise ConfigError(
            f"scheme.scale_bits={list(parameters.scale_bits)} leave the hidden layer {bits} bits after its rescaling "
            f"by {parameters.modulus_bits[1]}: twice the first two plus the third must be at least "
            f"{parameters.modulus_bits[1] + _MIN_HIDDEN_BITS}"
        )
    Weights(parameters.context(), layout, layers, parameters)


def largest_logit(scheme: CryptoNets, task: TaskFacts) -> float:
    """The |logit| beyond which the result wraps; what is 0 in most slots has small coefficients."""
    parameters = Parameters.chosen(scheme, RECOMMENDED)
    bits = 2 * _hidden_bits(parameters) + parameters.scale_bits[3]
    occupied = task.n_classes / _layout(parameters, task).block
    # A coefficient is at most the mean magnitude of the slots. It wraps at half the prime that is left, and SEAL
    # encodes none above a quarter.
    return float(2.0 ** (parameters.modulus_bits[0] - 2 - bits) / occupied)


def _hidden_bits(parameters: Parameters) -> int:
    pixels, convolution, hidden, _ = parameters.scale_bits
    return 2 * (pixels + convolution) + hidden - parameters.modulus_bits[1]


def _layout(parameters: Parameters, task: TaskFacts) -> Layout:
    return Layout(parameters.n_slots, task.sample_shape, task.n_classes)
