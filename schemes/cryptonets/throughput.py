"""CryptoNets' own packing on SEAL: a ciphertext per pixel, an image per slot.

Gilad-Bachrach et al., CryptoNets, ICML'16. SEAL makes the keys, encrypts, switches keys and levels and decrypts. The
first two layers and the square between them, with all but 1 % of the weights, are computed on the residues of
the ciphertexts' polynomials: as the same linear map applies to every residue, a layer is one product of matrices.

A participant sends the first component of each ciphertext in whole bytes per residue and the seed of the second.
Slots beyond the batch hold black images: what is answered there is no more than any participant may ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ppbench.bundle import Array
from ppbench.errors import ProtocolError
from ppbench.he.seal import Seal, levels, load, primes, save
from ppbench.he.wire import (
    SEED_BYTES,
    Assembler,
    check_shapes,
    n_bytes_of,
    pack,
    seeded_parts,
)
from ppbench.models.network import Network
from ppbench.scheme import TaskFacts
from schemes.cryptonets.throughput_layers import FirstLayers
from schemes.cryptonets.throughput_parameters import (
    Quantised,
    check,
    context,
    largest_logit,
    parameters,
)

if TYPE_CHECKING:
    from schemes.cryptonets.scheme import CryptoNets

__all__ = ["Client", "Server", "check", "largest_logit", "parameters"]


class Client:
    """The participant's part: the only one that holds the secret key."""

    def __init__(self, scheme: CryptoNets, task: TaskFacts) -> None:
        """Make the keys, with randomness from the operating system."""
        import tenseal.sealapi as sealapi

        self._sealapi = sealapi
        self._parameters = parameters(scheme)
        self._n_classes = task.n_classes
        self._context = context(scheme)
        self._generator = sealapi.KeyGenerator(self._context)
        secret_key = self._generator.secret_key()
        self._encryptor = sealapi.Encryptor(self._context, secret_key)
        self._decryptor = sealapi.Decryptor(self._context, secret_key)
        self._encoder = sealapi.CKKSEncoder(self._context)
        self._makes_keys = scheme.evaluation_keys

    def public_material(self) -> list[Array]:
        """The relinearisation keys, seeded, (bytes,) uint8; nothing without evaluation keys."""
        return [save(self._generator.create_relin_keys())] if self._makes_keys else []

    def encrypt(self, samples: Array) -> list[Array]:
        """(n, d) float32 in [0, 1], n <= slots -> d ciphertexts.

        For each prime the residues of the first components, (d, N, bytes) uint8; then the seeds of the second
        ones, (d, 64) uint8.
        """
        self._n_samples, n_pixels = samples.shape
        degree = self._parameters.poly_modulus_degree
        packed = [np.empty((n_pixels, degree, n_bytes_of(prime)), np.uint8) for prime in primes(self._context)]
        seeds = np.empty((n_pixels, SEED_BYTES), np.uint8)
        for pixel, values in enumerate(np.ascontiguousarray(samples.T, np.float64)):
            residues, seed = seeded_parts(self._encrypted(values))
            for of_prime, row in zip(packed, residues, strict=True):
                of_prime[pixel] = pack(row, of_prime.shape[-1])
            seeds[pixel] = np.frombuffer(seed, np.uint8)
        return [*packed, seeds]

    def _encrypted(self, values: Array) -> Seal:
        plaintext = self._sealapi.Plaintext()
        self._encoder.encode(values.tolist(), 2.0 ** self._parameters.scale_bits[0], plaintext)
        return self._encryptor.encrypt_symmetric(plaintext)

    def decrypt(self, arrays: Sequence[Array]) -> Array:
        """What the server evaluated -> (n, classes) float64 logits of the samples last encrypted."""
        if len(arrays) != self._n_classes:
            raise ProtocolError(f"{len(arrays)} encrypted logits instead of {self._n_classes}")
        return np.stack([self._decrypted(array) for array in arrays], axis=1)

    def _decrypted(self, content: Array) -> Array:
        plaintext = self._sealapi.Plaintext()
        self._decryptor.decrypt(load(self._sealapi.Ciphertext(self._context), self._context, content), plaintext)
        return np.array(self._encoder.decode_double(plaintext)[: self._n_samples])


class Server:
    """The coordinator's part: computes on ciphertexts alone."""

    def __init__(self, scheme: CryptoNets, network: Network) -> None:
        """Take the network apart."""
        import tenseal.sealapi as sealapi

        self._sealapi = sealapi
        self._parameters = parameters(scheme)
        self._relinearises = scheme.evaluation_keys
        self._context = context(scheme)
        self._levels = levels(self._context)
        self._primes = primes(self._context)
        self._evaluator = sealapi.Evaluator(self._context)
        self._encoder = sealapi.CKKSEncoder(self._context)
        degree = self._parameters.poly_modulus_degree
        self._assembler = Assembler(self._context, self._levels[0], degree, len(self._primes))
        quantised = Quantised.of(network, self._parameters.scale_bits)
        first, self._second, self._third = quantised.maps
        pixel_bits, first_bits, second_bits, third_bits = self._parameters.scale_bits
        first_scale = 2.0 ** (pixel_bits + first_bits)
        self._second_scale = first_scale**2 * 2.0**second_bits
        self._third_scale = 2.0**third_bits
        self._first_layers = FirstLayers(first, self._second, first_scale)
        self._n_pixels = first.matrix.shape[1]

    def load(self, public_material: Sequence[Array]) -> None:
        """Take the relinearisation keys, if the scheme uses any. Raises ProtocolError for anything else."""
        if len(public_material) != self._relinearises:
            raise ProtocolError(f"{len(public_material)} evaluation keys instead of {int(self._relinearises)}")
        self._relin_keys = [load(self._sealapi.RelinKeys(), self._context, array) for array in public_material]

    def evaluate(self, arrays: Sequence[Array]) -> list[Array]:
        """What the client encrypted -> encrypted logits, (bytes,) uint8 for each class."""
        degree = self._parameters.poly_modulus_degree
        packed_shapes = [(self._n_pixels, degree, n_bytes_of(prime)) for prime in self._primes]
        check_shapes(arrays, [*packed_shapes, (self._n_pixels, SEED_BYTES)])
        *packed, seeds = arrays
        second = self._first_layers(packed, self._expanded(seeds), self._primes)
        squares = [
            self._second_square(residues, bias) if weights.any() else None
            for residues, weights, bias in zip(second, self._second.matrix, self._second.bias, strict=True)
        ]
        return [
            save(self._logit(squares, weights, bias))
            for weights, bias in zip(self._third.matrix, self._third.bias, strict=True)
        ]

    def _expanded(self, seeds: Array) -> Array:
        """(pixels, 64) -> second components (pixels, primes, N) uint32."""
        shape = (len(seeds), len(self._primes), self._parameters.poly_modulus_degree)
        expanded = np.empty(shape, np.uint32)
        for pixel, seed in enumerate(seeds):
            expanded[pixel] = self._assembler.expand(seed)
        return expanded

    def _second_square(self, residues: Array, bias: float) -> Seal:
        """(3, primes, N), an output of the second layer without its bias -> its square, two levels down."""
        ciphertext = self._assembler.ciphertext(residues, self._second_scale)
        self._relinearise(ciphertext)
        for _ in range(2):
            self._evaluator.rescale_to_next_inplace(ciphertext)
        self._add(ciphertext, bias)
        self._evaluator.square_inplace(ciphertext)
        return ciphertext

    def _logit(self, squares: Sequence[Seal | None], weights: Array, bias: float) -> Seal:
        terms = []
        for square, weight in zip(squares, weights, strict=True):
            # SEAL refuses to multiply by 0: the product would hide nothing. A square that is constant has weight 0.
            if weight and square is not None:
                plaintext, term = self._sealapi.Plaintext(), self._sealapi.Ciphertext()
                self._encoder.encode(float(weight) / self._third_scale, square.parms_id(), self._third_scale, plaintext)
                self._evaluator.multiply_plain(square, plaintext, term)
                terms.append(term)
        logit = self._sealapi.Ciphertext()
        self._evaluator.add_many(terms, logit)
        self._relinearise(logit)
        # Without evaluation keys a rounding error is multiplied by the secret key's fourth power: leave the last level.
        if self._relinearises:
            self._evaluator.rescale_to_next_inplace(logit)
        self._add(logit, bias)
        return logit

    def _relinearise(self, ciphertext: Seal) -> None:
        for keys in self._relin_keys:
            self._evaluator.relinearize_inplace(ciphertext, keys)

    def _add(self, ciphertext: Seal, constant: float) -> None:
        plaintext = self._sealapi.Plaintext()
        self._encoder.encode(float(constant), ciphertext.parms_id(), ciphertext.scale, plaintext)
        self._evaluator.add_plain_inplace(ciphertext, plaintext)
