"""What makes an answer tell no more than its logits: a fresh encryption of zero, and noise that drowns its own.

As it stands, an answer follows from weights and ciphertext alone, so one answer tests a guess of a weight exactly; and
what rounding, keys and weights leave in its low bits depends on the weights, too. So the server adds an encryption of
zero under the participant's public key, by which both components are new each time, and to every coefficient of the
first one a number uniform among the 2^`Flooding.bits` around 0 (Gentry, STOC'09, section 4.1.2; as in `schemes.barni`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np

from ppbench.bundle import Array
from ppbench.he.seal import ERROR_VARIANCE, Seal
from ppbench.he.wire import load_public_key

LEAST_BITS = 20
"""What `drowning_bits` must be at the least."""
_BITS_BELOW_SCALE = 8
"""log2 of a logit's scale over the width of the flooding."""
_MOST_GAIN = 2.0**6
"""By how much an error on its way through the network is taken to grow at most; 2^3.5 was measured."""


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


def drowning_bits(poly_modulus_degree: int, pixel_bits: int, weight_bits: Sequence[int], hidden_bits: int) -> int:
    """log2 of the flooding over all that an answer holds besides its logits, in a coefficient.

    That is, relative to a logit: the noise of fresh ciphertexts, the rounding of encoded weights, which fills
    slots that should be empty, and the rounding of the hidden layer as it is rescaled. They are counted in slots, whose
    real parts are wider than a coefficient by the root of half the degree.
    """
    of_a_slot = math.sqrt(poly_modulus_degree / 2)
    errors = [
        math.sqrt(ERROR_VARIANCE) * of_a_slot / 2.0**pixel_bits,
        *(math.sqrt(poly_modulus_degree / 12) / 2.0**bits for bits in weight_bits),
        poly_modulus_degree / math.sqrt(18) / 2.0**hidden_bits,
    ]
    return math.floor(math.log2(of_a_slot / (_MOST_GAIN * math.hypot(*errors)))) - _BITS_BELOW_SCALE


def slot_deviation(flooding_bits: int, poly_modulus_degree: int, scale: float) -> float:
    """Standard deviation of the flooding in a slot's value: half of a coefficient's variance is in its real part."""
    return 2.0**flooding_bits / math.sqrt(12) * math.sqrt(poly_modulus_degree / 2) / scale
