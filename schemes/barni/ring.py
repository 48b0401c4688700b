"""Polynomials modulo X^N + 1 and a prime: numpy's integers on one side, SEAL's objects on the other."""

from __future__ import annotations

import numpy as np

from ppbench.bundle import Array
from ppbench.he.seal import Seal, primes
from ppbench.he.wire import Assembler, n_bytes_of, residues_of, secret_residues
from schemes.barni import half_bytes
from schemes.barni.ckks_parameters import PLAIN_MODULUS, Parameters


class Ring:
    """The ring of some parameters."""

    def __init__(self, parameters: Parameters) -> None:
        import tenseal.sealapi as sealapi

        self._sealapi = sealapi
        self._modulus_bits, self._degree = parameters.modulus_bits, parameters.poly_modulus_degree
        self.context = parameters.context()
        self.evaluator = sealapi.Evaluator(self.context)
        (self.prime,) = primes(self.context)
        self._parms_id = self.context.first_parms_id()
        self._assembler = Assembler(self.context, self._parms_id, self._degree, n_primes=1)

    @property
    def whole_bits(self) -> int:
        """Those of the whole bytes that a residue takes."""
        return 8 * n_bytes_of(self.prime)

    def residues(self, integers: Array) -> Array:
        """float64 integers of any size -> uint64."""
        # A float64 may miss the prime by 1: what wraps k times is off by k, far less than the noise of encryption.
        remainders = np.fmod(integers, self.prime).astype(np.int64)
        return np.where(remainders < 0, remainders + self.prime, remainders).astype(np.uint64)

    def sum(self, left: Array, right: Array) -> Array:
        """Of residues, uint64."""
        total: Array = (left + right) % np.uint64(self.prime)
        return total

    def centred(self, residues: Array) -> Array:
        """uint64 -> int64 between -q/2 and q/2."""
        signed = residues.astype(np.int64)
        return np.where(signed > self.prime // 2, signed - self.prime, signed)

    def packed(self, residues: Array, n_bits: int) -> Array:
        """The leading bits of residues, (bytes,) uint8."""
        return half_bytes.pack(residues >> np.uint64(self._modulus_bits - n_bits), n_bits)

    def restored(self, packed: Array, n: int, n_bits: int) -> Array:
        """Polynomials (n, N) uint64 from their leading bits, with the middle of what was dropped."""
        dropped_bits = self._modulus_bits - n_bits
        leading = half_bytes.unpack(packed, n * self._degree, n_bits).reshape(n, self._degree)
        middle = (leading << np.uint64(dropped_bits)) + np.uint64(1 << dropped_bits >> 1)
        restored: Array = np.minimum(middle, np.uint64(self.prime - 1))
        return restored

    def seeded(self, first: Array, seed: Array) -> Seal:
        """First component (N,) uint64 and the seed (64,) uint8 of the second -> a ciphertext."""
        return self._assembler.seeded(first[np.newaxis], seed, scale=1.0, ntt_form=False)

    def plaintext(self, integers: Array) -> Seal:
        """(N,) signed integers -> a plaintext in NTT form."""
        (places,) = np.nonzero(integers)
        terms = (f"{int(integers[place]) % PLAIN_MODULUS:X}x^{place}" for place in places[::-1])
        plaintext = self._sealapi.Plaintext(" + ".join(terms))
        self.evaluator.transform_to_ntt_inplace(plaintext, self._parms_id)
        return plaintext

    def secret(self, key: Seal) -> Array:
        """A secret key's coefficients, (N,) int64 of -1, 0 and 1."""
        residues, *_ = secret_residues(key, self._degree)
        # A ciphertext has at least two components.
        ciphertext = self._assembler.ciphertext(np.stack([residues[np.newaxis]] * 2), scale=1.0)
        self.evaluator.transform_from_ntt_inplace(ciphertext)
        return self.centred(residues_of(ciphertext)[0, 0])

    def product(self, polynomials: Array, factor: Seal) -> Array:
        """(2 to 16, N) uint64 -> the product of each with a plaintext in NTT form."""
        ciphertext = self._assembler.ciphertext(polynomials[:, np.newaxis], scale=1.0, ntt_form=False)
        self.evaluator.transform_to_ntt_inplace(ciphertext)
        self.evaluator.multiply_plain_inplace(ciphertext, factor)
        self.evaluator.transform_from_ntt_inplace(ciphertext)
        products: Array = residues_of(ciphertext)[:, 0]
        return products
