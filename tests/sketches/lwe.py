"""A toy of a homomorphic scheme: learning with errors modulo 2**64, one ciphertext per value, parameters far too small.

A ciphertext of m is (a, <a, key> + SCALE * m + small): sums and integer multiples of ciphertexts decrypt to those of
their messages, as long as the errors stay below half of SCALE.
"""

from __future__ import annotations

import secrets

import numpy as np

from ppbench.bundle import Array

DIMENSION = 16
SCALE = np.uint64(1 << 28)
_ERROR = 4


def new_key() -> Array:
    """A secret key, by the operating system's randomness."""
    return np.frombuffer(secrets.token_bytes(8 * DIMENSION), np.uint64)


def encrypt(key: Array, messages: Array) -> Array:
    """Messages (...) int64 -> ciphertexts (..., DIMENSION + 1) uint64."""
    random = np.random.default_rng(secrets.randbits(128))
    ciphertexts = random.integers(0, 2**64, (*messages.shape, DIMENSION + 1), np.uint64)
    errors = random.integers(-_ERROR, _ERROR + 1, messages.shape).view(np.uint64)
    ciphertexts[..., -1] = ciphertexts[..., :-1] @ key + messages.astype(np.int64).view(np.uint64) * SCALE + errors
    return ciphertexts


def decrypt(key: Array, ciphertexts: Array) -> Array:
    """Ciphertexts (..., DIMENSION + 1) -> messages (...) int64."""
    noisy = (ciphertexts[..., -1] - ciphertexts[..., :-1] @ key).view(np.int64)
    rounded: Array = np.rint(noisy / float(SCALE)).astype(np.int64)
    return rounded


def linear(weight: Array, bias: Array, ciphertexts: Array) -> Array:
    """(out, in) and (out,) in the ring, ciphertexts (n, in, DIMENSION + 1) -> (n, out, DIMENSION + 1)."""
    outputs: Array = np.einsum("oi,nic->noc", weight, ciphertexts)
    outputs[..., -1] += bias * SCALE
    return outputs
