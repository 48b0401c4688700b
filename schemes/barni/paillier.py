"""Paillier's cryptosystem, one value a ciphertext: what Barni et al. used, and the historical cost.

Paillier, EUROCRYPT'99, by python-paillier. A product of ciphertexts is a sum, a power a product with an integer. Values
and weights are integers of some bits behind the point, negative ones modulo n. Each output is multiplied into
a fresh encryption of its bias, so what the participant decrypts is uniform among the ciphertexts of that output and
tells nothing else of the weights. But it tells the output exactly, to the last bit of the fixed point.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ppbench.bundle import Array
from ppbench.errors import ConfigError, ProtocolError, in_range
from ppbench.he.wire import check_shapes
from ppbench.scheme import TaskFacts
from schemes.barni.engine import Key
from schemes.barni.linear import LinearLayer
from schemes.barni.plan import Plan

if TYPE_CHECKING:
    from schemes.barni.scheme import Barni

_LEAST_KEY_BITS, _MOST_KEY_BITS = 2048, 8192
"""2048 bits are 112-bit security, the least that NIST SP 800-57 part 1 still allows for factoring."""

_MAX_OUTPUT_BITS = 1000
"""Of an output as an integer: half the smallest modulus has room for more, a float64 hardly."""


def import_library() -> None:
    """See `engine.Engine`."""
    _phe()


class Client:
    """The participant's part: the only one that has the private key."""

    def __init__(self, scheme: Barni, plan: Plan, task: TaskFacts) -> None:
        """Make the keys, with randomness from the operating system."""
        self._scheme = scheme
        self._geometries = [step.linear for step in plan.exchanges]
        self._public_key, self._private_key = _phe().generate_paillier_keypair(n_length=scheme.key_bits)

    def public_key(self) -> list[Array]:
        """The modulus n, (bytes,) uint8."""
        return [_as_bytes([self._public_key.n], self._scheme.key_bits // 8)[0]]

    def encrypt(self, layer: int, values: Array) -> list[Array]:
        """(n, values in) -> a ciphertext for each, (n x values in, bytes) uint8."""
        integers = np.rint(values.astype(np.float64) * 2.0**self._scheme.activation_bits).ravel().tolist()
        ciphertexts = [self._public_key.raw_encrypt(int(value) % self._public_key.n) for value in integers]
        return [_as_bytes(ciphertexts, _ciphertext_bytes(self._scheme))]

    def decrypt(self, layer: int, n: int, arrays: Sequence[Array]) -> Array:
        """A ciphertext for each output -> (n, values out) float64."""
        n_outputs = self._geometries[layer].n_outputs
        ciphertexts = _ciphertexts(arrays, n * n_outputs, self._scheme, self._public_key)
        scale = 2.0 ** (self._scheme.activation_bits + self._scheme.weight_bits)
        return np.array([self._decrypted(one) / scale for one in ciphertexts]).reshape(n, n_outputs)

    def _decrypted(self, ciphertext: int) -> int:
        plaintext: int = self._private_key.raw_decrypt(ciphertext)
        signed = plaintext - self._public_key.n if plaintext > self._public_key.n // 2 else plaintext
        if signed.bit_length() > _MAX_OUTPUT_BITS:
            raise ProtocolError(f"an output of {signed.bit_length()} bits was not computed from what was encrypted")
        return signed


class Server:
    """The coordinator's part: computes with the public key alone."""

    def __init__(self, scheme: Barni, layers: Sequence[LinearLayer], task: TaskFacts) -> None:
        """Make the weights integers."""
        self._scheme = scheme
        self._layers = [_Integers(layer, scheme) for layer in layers]

    def load(self, public_key: Sequence[Array]) -> Key:
        """A participant's public key. Raises ProtocolError if it is none."""
        check_shapes(public_key, [(self._scheme.key_bits // 8,)])
        modulus = int.from_bytes(public_key[0].tobytes(), "big")
        if modulus.bit_length() != self._scheme.key_bits or modulus % 2 == 0:
            raise ProtocolError(f"a public key of {self._scheme.key_bits} bits is awaited, not one of another size")
        return _phe().PaillierPublicKey(modulus)

    def evaluate(self, key: Key, layer: int, n: int, arrays: Sequence[Array]) -> list[Array]:
        """A ciphertext for each value -> one for each output, (n x values out, bytes) uint8."""
        weights = self._layers[layer]
        ciphertexts = _ciphertexts(arrays, n * weights.n_inputs, self._scheme, key)
        outputs = [
            output
            for start in range(0, len(ciphertexts), weights.n_inputs)
            for output in weights.outputs(ciphertexts[start : start + weights.n_inputs], key)
        ]
        return [_as_bytes(outputs, _ciphertext_bytes(self._scheme))]


class _Integers:
    """A linear layer in fixed point."""

    def __init__(self, layer: LinearLayer, scheme: Barni) -> None:
        self.n_inputs = layer.geometry.n_inputs
        self._windows = layer.geometry.windows.tolist()
        self._rows = layer.integers(scheme.weight_bits).reshape(len(layer.bias), -1).tolist()
        scale = 2.0 ** (scheme.activation_bits + scheme.weight_bits)
        self._biases = [int(value) for value in np.rint(layer.bias.astype(np.float64) * scale)]

    def outputs(self, ciphertexts: Sequence[int], public_key: Key) -> list[int]:
        """Of one sample: encryptions of all outputs, map by map."""
        util, modulus = _phe().util, public_key.nsquare
        # Behind the last value stands the padding, an encryption of 0 that needs no randomness of its own.
        positive = [*ciphertexts, 1]
        negative = [util.invert(ciphertext, modulus) for ciphertext in positive]
        outputs = []
        for (row, bias), window in itertools.product(zip(self._rows, self._biases, strict=True), self._windows):
            output = public_key.raw_encrypt(bias % public_key.n)
            for place, weight in zip(window, row, strict=True):
                if weight:
                    base = positive[place] if weight > 0 else negative[place]
                    output = util.mulmod(output, util.powmod(base, abs(weight), modulus), modulus)
            outputs.append(output)
        return outputs


def _phe() -> Any:
    import phe  # type: ignore[import-untyped]

    return phe


def _ciphertext_bytes(scheme: Barni) -> int:
    return 2 * scheme.key_bits // 8


def _as_bytes(integers: Sequence[int], size: int) -> Array:
    """(n, size) uint8, big-endian."""
    joined = b"".join(int(integer).to_bytes(size, "big") for integer in integers)
    return np.frombuffer(joined, np.uint8).reshape(-1, size)


def _ciphertexts(arrays: Sequence[Array], n: int, scheme: Barni, public_key: Key) -> list[int]:
    """So many ciphertexts. Raises ProtocolError for anything else."""
    check_shapes(arrays, [(n, _ciphertext_bytes(scheme))])
    ciphertexts = [int.from_bytes(row.tobytes(), "big") for row in arrays[0]]
    for ciphertext in ciphertexts:
        if not 0 < ciphertext < public_key.nsquare or math.gcd(ciphertext, public_key.n) != 1:
            raise ProtocolError("a ciphertext is not invertible modulo n^2")
    return ciphertexts


def check(scheme: Barni, layers: Sequence[LinearLayer]) -> None:
    """Raise ConfigError, naming the option and what is allowed, for insecure keys."""
    in_range("scheme.key_bits", scheme.key_bits, _LEAST_KEY_BITS, _MOST_KEY_BITS)
    if scheme.key_bits % 8:
        raise ConfigError(f"scheme.key_bits={scheme.key_bits} must be a multiple of 8")
    in_range("scheme.activation_bits", scheme.activation_bits, 1, 52)
    in_range("scheme.weight_bits", scheme.weight_bits, 1, 52)


def largest_output(scheme: Barni) -> float:
    """The absolute value beyond which an output is taken for garbage."""
    return 2.0 ** (_MAX_OUTPUT_BITS - 1 - scheme.activation_bits - scheme.weight_bits)


def resident_bytes(scheme: Barni) -> float:
    """The two primes, and one ciphertext."""
    return scheme.key_bits / 8 + _ciphertext_bytes(scheme)
