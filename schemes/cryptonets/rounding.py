"""A result in a third of its bytes: the low bits of its coefficients are noise already.

This is modulus switching (Brakerski, Gentry and Vaikuntanathan, ITCS'12, section 4) to a power of two, for transport
only: the receiver puts the middle of the range in the place of what was dropped.
"""

from __future__ import annotations

import math

import numpy as np

from ppbench.bundle import Array
from ppbench.errors import ProtocolError
from ppbench.he import seal
from ppbench.he.seal import Seal
from ppbench.he.wire import Assembler, pack, residues_of, unpack

_SPARE_BITS = 7
"""log2 of the scale over the standard deviation, in a slot, of what rounding adds."""
_MAX_BYTES = 4


class Rounding:
    """Ciphertexts of two components at the last level of a context, all of one scale."""

    def __init__(self, context: Seal, scale: float) -> None:
        import tenseal.sealapi as sealapi

        self._evaluator = sealapi.Evaluator(context)
        self._scale = scale
        self._prime = seal.primes(context)[0]
        self._degree: int = context.first_context_data().parms().poly_modulus_degree()
        self._assembler = Assembler(context, seal.levels(context)[-1], self._degree, n_primes=1)
        # One unit in every coefficient of both components makes N / sqrt(18) in a slot, with a ternary secret.
        noise_bits = math.log2(self._degree / math.sqrt(18)) + _SPARE_BITS
        kept_bits = self._prime.bit_length() - math.log2(scale) + noise_bits
        self._n_bytes = min(_MAX_BYTES, math.ceil(kept_bits / 8))
        self._dropped_bits = np.uint64(max(0, self._prime.bit_length() - 8 * self._n_bytes))

    def shorten(self, ciphertext: Seal, noise: Array | None = None) -> Array:
        """A ciphertext, which is used up -> (bytes,) uint8; `noise`, (N,) int64, goes on top of its message."""
        self._evaluator.transform_from_ntt_inplace(ciphertext)
        residues = residues_of(ciphertext)
        if noise is not None:
            first, second = residues
            residues = np.stack([(first + (noise % self._prime).astype(np.uint64)) % np.uint64(self._prime), second])
        leading = residues >> self._dropped_bits
        return np.ascontiguousarray(pack(leading, self._n_bytes)).ravel()

    def restore(self, content: Array) -> Seal:
        """What `shorten` made -> a ciphertext. Raises ProtocolError for another number of bytes."""
        shape = (2, 1, self._degree, self._n_bytes)
        if content.size != math.prod(shape):
            raise ProtocolError(f"a rounded ciphertext has {math.prod(shape)} B, not {content.size}")
        coefficients = np.empty(shape[:-1], np.uint64)
        unpack(content.reshape(shape), coefficients)
        middle = np.uint64((1 << int(self._dropped_bits)) >> 1)
        coefficients = np.minimum((coefficients << self._dropped_bits) + middle, np.uint64(self._prime - 1))
        ciphertext = self._assembler.ciphertext(coefficients, self._scale, ntt_form=False)
        self._evaluator.transform_to_ntt_inplace(ciphertext)
        return ciphertext
