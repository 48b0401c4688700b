"""CKKS parameters for a ciphertext per pixel, and whether a network fits them."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from ppbench.errors import ConfigError, in_range
from ppbench.he import seal
from ppbench.he.seal import Seal
from ppbench.he.security import check_secure
from ppbench.models.network import Network
from ppbench.scheme import TaskFacts
from ppbench.wire.message import MAX_ARRAYS
from schemes.cryptonets.affine import Affine, affine_maps, check_weights, without_constants
from schemes.cryptonets.parameters import Parameters
from schemes.cryptonets.residues import MAX_PRIME_BITS, MAX_ROW_NORM, row_norm

if TYPE_CHECKING:
    from schemes.cryptonets.scheme import CryptoNets

N_SQUARES = 2
N_DATA_PRIMES = 4
"""The last two are dropped between the squares, the second one after the last layer."""

# Scales of: pixels, weights of the first, second and third layer. Chosen, for a sum that the modulus sets, by the
# smallest largest error of a logit on MNIST among those tried.
WITH_KEYS = Parameters(8192, (32, 32, 24, 24, 33), (19, 11, 10, 11))
WITHOUT_KEYS = Parameters(4096, (32, 32, 21, 21), (18, 11, 8, 9))
"""Its primes are all for data: no special prime, since no key is ever switched."""

_SPECIAL_PRIME_BITS = 33
_LEAST_SCALE_BITS = 12
"""Of a value between layers; with less, rounding drowns it."""


def parameters(scheme: CryptoNets) -> Parameters:
    """The scheme's own, or the recommended ones."""
    return Parameters.chosen(scheme, WITH_KEYS if scheme.evaluation_keys else WITHOUT_KEYS)


def context(scheme: CryptoNets) -> Seal:
    """A SEALContext. Raises ConfigError if SEAL refuses the parameters."""
    chosen = parameters(scheme)
    if scheme.evaluation_keys:
        return chosen.context()
    import tenseal.sealapi as sealapi

    check_secure(chosen.poly_modulus_degree, chosen.modulus_bits, chosen.security)
    encryption = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
    encryption.set_poly_modulus_degree(chosen.poly_modulus_degree)
    primes = [*chosen.modulus_bits, _SPECIAL_PRIME_BITS]
    encryption.set_coeff_modulus(sealapi.CoeffModulus.Create(chosen.poly_modulus_degree, primes))
    # SEAL wants a special prime and counts it, but nothing is ever published modulo that prime: what an attacker
    # sees are samples modulo the data primes, whose security has just been checked.
    made = sealapi.SEALContext(encryption, True, sealapi.SEC_LEVEL_TYPE.NONE)
    if not made.parameters_set():
        raise ConfigError(f"SEAL refuses {chosen}: {made.parameters_error_message()}")
    return made


@dataclasses.dataclass(frozen=True, eq=False)
class Quantised:
    """The affine maps of a network as integers: weights times 2^scale, rounded."""

    exact: list[Affine]
    """As they were."""
    maps: list[Affine]
    """Without constants; their biases are not scaled."""
    weight_bits: tuple[int, ...]

    @classmethod
    def of(cls, network: Network, scale_bits: tuple[int, ...]) -> Quantised:
        """`scale_bits` as in `Parameters`, the pixels' first. Raises ConfigError for another kind of network."""
        weight_bits = scale_bits[1:]
        exact = affine_maps(network, N_SQUARES)
        integers = [np.rint(affine.matrix * 2.0**bits) for affine, bits in zip(exact, weight_bits, strict=True)]
        return cls(exact, without_constants(exact, integers), weight_bits)


def largest_logit(scheme: CryptoNets, task: TaskFacts) -> float:
    """The |logit| beyond which a result may wrap: half the last modulus over the scale.

    By the primes themselves: small ones are up to a tenth smaller than their bits say.
    """
    chosen = parameters(scheme)
    first, second, *dropped = seal.primes_of(chosen.poly_modulus_degree, chosen.modulus_bits)[:N_DATA_PRIMES]
    excess = math.prod(2.0**bits / prime for bits, prime in zip(chosen.modulus_bits[2:], dropped, strict=False))
    return first * second / (2 * 2.0 ** _logit_scale_bits(chosen) * excess**2)


def _logit_modulus_bits(chosen: Parameters) -> int:
    """Before the last rescaling, if there is one: it divides modulus and scale alike."""
    return sum(chosen.modulus_bits[:2])


def _logit_scale_bits(chosen: Parameters) -> int:
    return 2 * _hidden_scale_bits(chosen) + chosen.scale_bits[3]


def _hidden_scale_bits(chosen: Parameters) -> int:
    pixel, first, second, _ = chosen.scale_bits
    return 2 * (pixel + first) + second - sum(chosen.modulus_bits[2:4])


def check(scheme: CryptoNets, network: Network, task: TaskFacts) -> None:
    """Raise ConfigError, naming the parameter and what is allowed, if the network or the batch does not fit."""
    chosen = parameters(scheme)
    if scheme.evaluation_keys:
        chosen.check(N_DATA_PRIMES + 1, N_SQUARES + 2)
    else:
        chosen.check(N_DATA_PRIMES, N_SQUARES + 2)
    for bits in chosen.modulus_bits[:N_DATA_PRIMES]:
        in_range("scheme.modulus_bits (each prime for data)", bits, 1, MAX_PRIME_BITS)
    in_range("task.batch_size", task.batch_size, 1, chosen.n_slots)
    if task.n_classes > MAX_ARRAYS:  # each has a ciphertext, and all go in one message
        raise ConfigError(f"scheme.packing=throughput has room for {MAX_ARRAYS} classes, not {task.n_classes}")
    _check_scales(chosen)
    _check_weights(Quantised.of(network, chosen.scale_bits), task, largest_logit(scheme, task))


def _check_scales(chosen: Parameters) -> None:
    hidden, sizes = _hidden_scale_bits(chosen), f"scheme.scale_bits={list(chosen.scale_bits)}"
    if hidden < _LEAST_SCALE_BITS:
        raise ConfigError(
            f"{sizes} leave 2^{hidden} for a value between the squares (2 (pixel + first) + second - the bits of the "
            f"third and fourth prime); at least 2^{_LEAST_SCALE_BITS} is needed"
        )
    logit, limit = _logit_scale_bits(chosen), _logit_modulus_bits(chosen) - 2
    if logit > limit:
        raise ConfigError(
            f"{sizes} give a logit a scale of 2^{logit} (2 (2 (pixel + first) + second - the bits of the third and "
            f"fourth prime) + third); the first two of scheme.modulus_bits allow at most 2^{limit}, for logits up to 2"
        )


def _check_weights(quantised: Quantised, task: TaskFacts, largest: float) -> None:
    first, *behind = quantised.maps
    if first.matrix.shape[1] != task.dimension:
        raise ConfigError(f"model: the network takes {first.matrix.shape[1]} pixels, a sample has {task.dimension}")
    for affine, bits in zip(quantised.maps[:2], quantised.weight_bits[:2], strict=True):
        if row_norm(affine.matrix) > MAX_ROW_NORM:
            excess = math.ceil(math.log2(row_norm(affine.matrix) / MAX_ROW_NORM))
            raise ConfigError(f"scheme.scale_bits: {bits} for these weights must be at most {bits - excess}")
    check_weights(quantised.exact, quantised.maps, quantised.weight_bits)
    if (bias := float(np.abs(behind[-1].bias).max())) >= largest / 2:
        raise ConfigError(
            f"model: the last layer has a bias of {bias:.3g}; scheme.scale_bits and scheme.modulus_bits have room for "
            f"less than {largest / 2:.3g}"
        )
