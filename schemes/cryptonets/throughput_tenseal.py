"""A pixel of many images per ciphertext with TenSEAL's high-level vectors: the naive baseline.

Each pixel is a CKKSVector with an image per slot; a layer is a sum of vectors times numbers. TenSEAL rescales after
every single product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ppbench.bundle import Array
from ppbench.errors import ConfigError, ProtocolError, in_range
from ppbench.he import seal
from ppbench.he.seal import Seal
from ppbench.models.network import Network
from ppbench.scheme import TaskFacts
from schemes.cryptonets.affine import Affine, affine_maps, check_weights, without_constants
from schemes.cryptonets.parameters import Parameters

if TYPE_CHECKING:
    from schemes.cryptonets.scheme import CryptoNets

RECOMMENDED = Parameters(8192, (36, 26, 26, 26, 26, 26, 36), (26,))
"""The tutorial's, with a level less and a first prime in which this network's logits have room; one scale for all."""

_N_SQUARES = 2
_N_THREADS = 1
"""TenSEAL's own pool, which no environment variable limits."""


class Client:
    """The participant's part: the context with the secret key."""

    def __init__(self, scheme: CryptoNets, task: TaskFacts) -> None:
        """Make the keys, with randomness from the operating system."""
        import tenseal

        self._tenseal = tenseal
        parameters = Parameters.chosen(scheme, RECOMMENDED)
        self._context = tenseal.context(
            tenseal.SCHEME_TYPE.CKKS,
            poly_modulus_degree=parameters.poly_modulus_degree,
            coeff_mod_bit_sizes=list(parameters.modulus_bits),
            n_threads=_N_THREADS,
        )
        self._context.global_scale = 2.0 ** parameters.scale_bits[0]

    def public_material(self) -> list[Array]:
        """The context with the public and the relinearisation keys."""
        serialised: bytes = self._context.serialize(save_secret_key=False)
        return [np.frombuffer(serialised, np.uint8)]

    def encrypt(self, samples: Array) -> list[Array]:
        """(n, d) float32 in [0, 1], n <= slots -> d vectors of n."""
        columns = np.asarray(samples.T, np.float64).tolist()
        return seal.join([_serialised(self._tenseal.ckks_vector(self._context, column)) for column in columns])

    def decrypt(self, arrays: Sequence[Array]) -> Array:
        """What the server evaluated -> (n, classes) float64 logits."""
        vectors = [_vector(self._tenseal, self._context, item) for item in seal.split(arrays)]
        return np.array([vector.decrypt() for vector in vectors]).T


class Server:
    """The coordinator's part: the context without the secret key."""

    def __init__(self, scheme: CryptoNets, network: Network) -> None:
        """Take the network apart."""
        import tenseal

        self._tenseal = tenseal
        self._maps = _maps(scheme, affine_maps(network, _N_SQUARES))

    def load(self, public_material: Sequence[Array]) -> None:
        """Take the participant's context. Raises ProtocolError if it is none."""
        if len(public_material) != 1:
            raise ProtocolError(f"{len(public_material)} arrays instead of the context")
        try:
            self._context = self._tenseal.context_from(public_material[0].tobytes(), n_threads=_N_THREADS)
        except (RuntimeError, ValueError) as error:
            raise ProtocolError(f"the context cannot be read: {error}") from None

    def evaluate(self, arrays: Sequence[Array]) -> list[Array]:
        """What the client encrypted -> a vector of logits for each class."""
        values: list[Seal] = [_vector(self._tenseal, self._context, item) for item in seal.split(arrays)]
        n_pixels = self._maps[0].matrix.shape[1]
        if len(values) != n_pixels:
            raise ProtocolError(f"{len(values)} encrypted pixels instead of {n_pixels}")
        for affine in self._maps[:-1]:
            values = [
                _weighted_sum(values, affine, row).square() if affine.matrix[row].any() else None
                for row in range(len(affine.bias))
            ]
        logits = [_weighted_sum(values, self._maps[-1], row) for row in range(len(self._maps[-1].bias))]
        return seal.join([_serialised(logit) for logit in logits])


def parameters(scheme: CryptoNets) -> Parameters:
    """The scheme's own, or the recommended ones."""
    return Parameters.chosen(scheme, RECOMMENDED)


def check(scheme: CryptoNets, network: Network, task: TaskFacts) -> None:
    """Raise ConfigError, naming the parameter and what is allowed, if the network or the batch does not fit."""
    if not scheme.evaluation_keys:
        raise ConfigError("scheme.evaluation_keys=false needs scheme.engine=sealapi: TenSEAL always relinearises")
    chosen = Parameters.chosen(scheme, RECOMMENDED)
    chosen.check(len(RECOMMENDED.modulus_bits), len(RECOMMENDED.scale_bits))
    in_range("task.batch_size", task.batch_size, 1, chosen.n_slots)
    maps = affine_maps(network, _N_SQUARES)
    if (n_pixels := maps[0].matrix.shape[1]) != task.dimension:
        raise ConfigError(f"model: the network takes {n_pixels} pixels, a sample has {task.dimension}")
    check_weights(maps, _maps(scheme, maps), chosen.scale_bits * len(maps))


def largest_logit(scheme: CryptoNets, task: TaskFacts) -> float:
    """The |logit| beyond which a result may wrap: half the first prime over the scale."""
    chosen = Parameters.chosen(scheme, RECOMMENDED)
    return float(2.0 ** (chosen.modulus_bits[0] - 1 - chosen.scale_bits[0]))


def _maps(scheme: CryptoNets, maps: Sequence[Affine]) -> list[Affine]:
    """Without constants, and with 0 for weights that TenSEAL would round to it."""
    scale = 2.0 ** Parameters.chosen(scheme, RECOMMENDED).scale_bits[0]
    return without_constants(maps, [np.where(np.rint(affine.matrix * scale) == 0, 0, affine.matrix) for affine in maps])


def _weighted_sum(values: Sequence[Seal], affine: Affine, row: int) -> Seal:
    """Constants, which are no ciphertexts, have weight 0."""
    weights = affine.matrix[row]
    # TenSEAL cannot multiply by 0, and a convolution has few weights for each output.
    first, *others = np.flatnonzero(weights).tolist()
    total = values[first] * float(weights[first])
    for other in others:
        total += values[other] * float(weights[other])
    return total + float(affine.bias[row])


def _serialised(vector: Seal) -> Array:
    return np.frombuffer(vector.serialize(), np.uint8)


def _vector(tenseal: Seal, context: Seal, item: Array) -> Seal:
    try:
        return tenseal.ckks_vector_from(context, item.tobytes())
    except (RuntimeError, ValueError) as error:
        raise ProtocolError(f"a vector of {item.size} B cannot be read: {error}") from None
