"""Approximate numbers as coefficients of polynomials, on Microsoft SEAL: a product gives many outputs, and no rotation.

The participant sends symmetric ciphertexts: the leading bits of the first component, and the seed of the second. The
coordinator multiplies them by its weights and answers with the second component of the product, but of the first
only with the coefficients that are outputs.

As they stand, these would give the weights away: the product's second component is the participant's own times
weights, and exact outputs tell far more than rounded ones. So a fresh encryption of zero, for which the coordinator has
a public key, blinds each answer, and every output gets random low bits, which drown the noise of the blinding too:
what comes back depends on the weights by the outputs alone, as far as the precision that is sent shows them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ppbench.bundle import Array
from ppbench.he import seal
from ppbench.he.seal import Seal, import_library, load, save
from ppbench.he.wire import (
    SEED_BYTES,
    check_shapes,
    load_public_key,
    public_key_bytes,
    public_key_size,
    residues_of,
    seeded_parts,
)
from ppbench.scheme import TaskFacts
from schemes.barni import half_bytes
from schemes.barni.ckks_parameters import Parameters
from schemes.barni.engine import Key
from schemes.barni.linear import LinearLayer
from schemes.barni.plan import Plan
from schemes.barni.ring import Ring
from schemes.barni.tiling import Tiling

if TYPE_CHECKING:
    from schemes.barni.scheme import Barni

__all__ = ["Client", "Server", "check", "import_library", "largest_output", "resident_bytes"]

_MAX_COMPONENTS = 16
"""Of a ciphertext in SEAL."""


class Client:
    """The participant's part: the only one that has the secret key."""

    def __init__(self, scheme: Barni, plan: Plan, task: TaskFacts) -> None:
        """Make the keys, with randomness from the operating system."""
        import tenseal.sealapi as sealapi

        self._parameters = Parameters.of(scheme)
        self._geometries = [step.linear for step in plan.exchanges]
        self._ring = Ring(self._parameters)
        self._generator = sealapi.KeyGenerator(self._ring.context)
        self._secret_key = self._generator.secret_key()
        self._secret = self._ring.plaintext(self._ring.secret(self._secret_key))
        self._encryptor = sealapi.Encryptor(self._ring.context, self._secret_key)

    def public_key(self) -> list[Array]:
        """An encryption of zero: all bits of its first component, (bytes,) uint8, and the seed of the second.

        With a special prime SEAL's public key, which is one modulo both primes.
        """
        if self._parameters.special_modulus_bits:
            return [public_key_bytes(self._generator)]
        (zero,), (seed,) = self._zeros(1)
        return [half_bytes.pack(zero, self._ring.whole_bits), seed]

    def encrypt(self, layer: int, values: Array) -> list[Array]:
        """(n, values in) -> leading bits of the first components, (bytes,) uint8, and seeds (polynomials, 64) uint8."""
        tiling = self._parameters.tiling(self._geometries[layer], len(values))
        scaled = np.rint(tiling.polynomials(values.astype(np.float64)) * 2.0**self._parameters.scale_bits)
        zeros, seeds = self._zeros(len(scaled))
        first = self._ring.sum(zeros, self._ring.residues(scaled))
        return [self._ring.packed(first, self._parameters.input_bits), seeds]

    def decrypt(self, layer: int, n: int, arrays: Sequence[Array]) -> Array:
        """What the server evaluated -> (n, values out) float64."""
        tiling = self._parameters.tiling(self._geometries[layer], n)
        check_shapes(arrays, _answer_shapes(self._parameters, tiling, n))
        groups = tiling.n_groups(n)
        second = self._ring.restored(arrays[0], groups * tiling.n_answers, self._parameters.mask_bits)
        products = self._times_secret(second).reshape(groups, -1)
        wanted = products[:, tiling.outputs].reshape(groups * tiling.images, -1)[:n]
        outputs = half_bytes.unpack(arrays[1], wanted.size, self._parameters.output_bits)
        outputs = outputs << np.uint64(self._parameters.modulus_bits - self._parameters.output_bits)
        centred = self._ring.centred(self._ring.sum(outputs.reshape(wanted.shape), wanted))
        decrypted: Array = centred / 2.0**self._parameters.output_scale_bits
        return decrypted

    def _zeros(self, n: int) -> tuple[Array, Array]:
        """Fresh encryptions of zero: first components (n, N) uint64 and seeds (n, 64) uint8 of the second ones."""
        first = np.empty((n, self._parameters.poly_modulus_degree), np.uint64)
        seeds = np.empty((n, SEED_BYTES), np.uint8)
        for index in range(n):
            (first[index],), seed = seeded_parts(self._encryptor.encrypt_zero_symmetric())
            seeds[index] = np.frombuffer(seed, np.uint8)
        return first, seeds

    def _times_secret(self, polynomials: Array) -> Array:
        """(n, N) uint64 -> their products with the secret key; as components of few ciphertexts, to be quick."""
        n = len(polynomials)
        # A ciphertext has at least two components.
        padded = np.concatenate([polynomials, polynomials[: n % 2]])
        products = [
            self._ring.product(padded[start : start + _MAX_COMPONENTS], self._secret)
            for start in range(0, len(padded), _MAX_COMPONENTS)
        ]
        return np.concatenate(products)[:n]


class Server:
    """The coordinator's part: computes on ciphertexts alone."""

    def __init__(self, scheme: Barni, layers: Sequence[LinearLayer], task: TaskFacts) -> None:
        """Encode the weights as full batches ask for; the first of another size has them encoded when it comes."""
        import tenseal.sealapi as sealapi

        self._sealapi = sealapi
        self._parameters = Parameters.of(scheme)
        self._ring = Ring(self._parameters)
        self._layers = layers
        self._weights: dict[tuple[int, Tiling], list[list[Seal | None]]] = {}
        for layer in range(len(layers)):
            self._tiled(layer, task.batch_size)
        self._biases = [self._repeated(layer) for layer in layers]

    def load(self, public_key: Sequence[Array]) -> Key:
        """A participant's public key, as an encryptor. Raises ProtocolError if it is none."""
        return self._sealapi.Encryptor(self._ring.context, self._public_key(public_key))

    def _public_key(self, public_key: Sequence[Array]) -> Seal:
        if self._parameters.special_modulus_bits:
            check_shapes(public_key, [(public_key_size(self._parameters.poly_modulus_degree, n_primes=2),)])
            return load_public_key(public_key[0], self._ring.context)
        degree, bits = self._parameters.poly_modulus_degree, self._ring.whole_bits
        check_shapes(public_key, [(half_bytes.packed_size(degree, bits),), (SEED_BYTES,)])
        zero = half_bytes.unpack(public_key[0], degree, bits)
        ciphertext = self._ring.seeded(np.minimum(zero, np.uint64(self._ring.prime - 1)), public_key[1])
        self._ring.evaluator.transform_to_ntt_inplace(ciphertext)
        return load(self._sealapi.PublicKey(), self._ring.context, save(ciphertext))

    def evaluate(self, key: Key, layer: int, n: int, arrays: Sequence[Array]) -> list[Array]:
        """What the client encrypted -> the bits of the second components, and of the outputs in the first ones."""
        tiling, weights = self._tiled(layer, n)
        check_shapes(arrays, _input_shapes(self._parameters, tiling, n))
        groups = tiling.n_groups(n)
        first = self._ring.restored(arrays[0], groups * tiling.n_inputs, self._parameters.input_bits)
        answers = np.empty((groups, tiling.n_answers, 2, self._parameters.poly_modulus_degree), np.uint64)
        for group in range(groups):
            part = slice(group * tiling.n_inputs, (group + 1) * tiling.n_inputs)
            inputs = [self._loaded(*components) for components in zip(first[part], arrays[1][part], strict=True)]
            for answer, row in zip(answers[group], weights, strict=True):
                answer[:] = residues_of(self._answer(key, inputs, row))[:, 0]
        sums = answers[:, :, 0].reshape(groups, -1)[:, tiling.outputs].reshape(groups * tiling.images, -1)[:n]
        outputs = self._flooded(self._ring.sum(sums, self._biases[layer]))
        return [
            self._ring.packed(answers[:, :, 1], self._parameters.mask_bits),
            self._ring.packed(outputs, self._parameters.output_bits),
        ]

    def _tiled(self, layer: int, n: int) -> tuple[Tiling, list[list[Seal | None]]]:
        """How n samples are laid out for a layer, and its weights for that."""
        tiling = self._parameters.tiling(self._layers[layer].geometry, n)
        if (layer, tiling) not in self._weights:
            self._weights[layer, tiling] = self._encoded(self._layers[layer], tiling)
        return tiling, self._weights[layer, tiling]

    def _encoded(self, layer: LinearLayer, tiling: Tiling) -> list[list[Seal | None]]:
        """A plaintext for each answer and input; None where all weights are 0, by which SEAL refuses to multiply."""
        polynomials = tiling.weights(layer.integers(self._parameters.weight_bits))
        return [[self._ring.plaintext(one) if one.any() else None for one in row] for row in polynomials]

    def _repeated(self, layer: LinearLayer) -> Array:
        """The bias of every output, as residues (values out,)."""
        scaled = np.rint(layer.bias.astype(np.float64) * 2.0**self._parameters.output_scale_bits)
        return np.repeat(self._ring.residues(scaled), math.prod(layer.geometry.positions))

    def _loaded(self, first: Array, seed: Array) -> Seal:
        ciphertext = self._ring.seeded(first, seed)
        self._ring.evaluator.transform_to_ntt_inplace(ciphertext)
        return ciphertext

    def _answer(self, key: Key, inputs: Sequence[Seal], weights: Sequence[Seal | None]) -> Seal:
        """Inputs times weights, blinded by a fresh encryption of zero."""
        evaluator, answer = self._ring.evaluator, self._sealapi.Ciphertext(self._ring.context)
        key.encrypt_zero(answer)
        total: Seal = None
        for ciphertext, plaintext in zip(inputs, weights, strict=True):
            if plaintext is None:
                continue
            term = self._sealapi.Ciphertext(self._ring.context)
            evaluator.multiply_plain(ciphertext, plaintext, term)
            if total is None:
                total = term
            else:
                evaluator.add_inplace(total, term)
        if total is not None:
            evaluator.transform_from_ntt_inplace(total)
            evaluator.add_inplace(answer, total)
        return answer

    def _flooded(self, outputs: Array) -> Array:
        """Random low bits on top: as many as are about to be dropped, so that rounding them is random too."""
        noise = np.frombuffer(os.urandom(outputs.nbytes), np.uint64).reshape(outputs.shape)
        dropped_bits = self._parameters.modulus_bits - self._parameters.output_bits
        return self._ring.sum(outputs, noise >> np.uint64(64 - dropped_bits))


def _input_shapes(parameters: Parameters, tiling: Tiling, n: int) -> list[tuple[int, ...]]:
    n_polynomials = tiling.n_groups(n) * tiling.n_inputs
    size = half_bytes.packed_size(n_polynomials * parameters.poly_modulus_degree, parameters.input_bits)
    return [(size,), (n_polynomials, SEED_BYTES)]


def _answer_shapes(parameters: Parameters, tiling: Tiling, n: int) -> list[tuple[int, ...]]:
    n_coefficients = tiling.n_groups(n) * tiling.n_answers * parameters.poly_modulus_degree
    masks = half_bytes.packed_size(n_coefficients, parameters.mask_bits)
    return [(masks,), (half_bytes.packed_size(n * tiling.geometry.n_outputs, parameters.output_bits),)]


def check(scheme: Barni, layers: Sequence[LinearLayer]) -> None:
    """Raise ConfigError, naming the parameter and what is allowed, if these layers cannot be computed with it."""
    parameters = Parameters.of(scheme)
    parameters.check()
    for index, layer in enumerate(layers):
        parameters.check_layer(index, layer)


def largest_output(scheme: Barni) -> float:
    """The absolute value beyond which an output may wrap: the range, less what rounding adds."""
    return float(2**scheme.range_bits - 1)


def resident_bytes(scheme: Barni) -> float:
    """See `engine.Engine`."""
    return seal.resident_bytes(scheme.poly_modulus_degree, (scheme.modulus_bits,))
