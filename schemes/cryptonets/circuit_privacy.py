"""What makes an answer tell no more than its logits: a fresh encryption of zero, and noise that drowns its own.

As it stands, an answer follows from weights and ciphertext alone, so one answer tests a guess of a weight exactly; and
what rounding, keys and weights leave in its low bits depends on the weights, too. So the server adds an encryption of
zero under the participant's public key, by which both components are new each time, and to every coefficient of the
first one a number uniform among the 2^`flooding_bits` around 0 (Gentry, STOC'09, section 4.1.2; as in `schemes.barni`).
"""

from __future__ import annotations

import math
import os

import numpy as np

from ppbench.bundle import Array
from ppbench.he.seal import Seal
from ppbench.he.wire import load_public_key

_BITS_BELOW_SCALE = 8
"""log2 of a logit's scale over the width of the flooding."""


class Flooding:
    """Of ciphertexts with one prime left, all of one scale."""

    def __init__(self, context: Seal, scale: float) -> None:
        import tenseal.sealapi as sealapi

        self._sealapi = sealapi
        self._context = context
        self._evaluator = sealapi.Evaluator(context)
        self._encoder = sealapi.CKKSEncoder(context)
        self.bits = round(math.log2(scale)) - _BITS_BELOW_SCALE

    def load(self, public_key: Array) -> None:
        """A participant's. Raises ProtocolError if it is none."""
        self._encryptor = self._sealapi.Encryptor(self._context, load_public_key(public_key, self._context))

    def blind(self, ciphertext: Seal) -> None:
        """Add an encryption of zero, in place."""
        nothing, zero = self._sealapi.Plaintext(), self._sealapi.Ciphertext()
        self._encoder.encode(0.0, ciphertext.parms_id(), ciphertext.scale, nothing)
        self._encryptor.encrypt(nothing, zero)
        self._evaluator.add_inplace(ciphertext, zero)

    def noise(self, n: int) -> Array:
        """(n,) int64 uniform from -2^(bits - 1) on, from the operating system's randomness."""
        words = np.frombuffer(os.urandom(8 * n), np.int64)
        drawn: Array = words >> np.int64(64 - self.bits)
        return drawn


def slot_deviation(flooding_bits: int, poly_modulus_degree: int, scale: float) -> float:
    """Standard deviation of the flooding in a slot's value: half of a coefficient's variance is in its real part."""
    return 2.0**flooding_bits / math.sqrt(12) * math.sqrt(poly_modulus_degree / 2) / scale
