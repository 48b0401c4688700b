"""How large the numbers in a ciphertext are, from which all else follows.

A value v stands as v 2^s in a coefficient of a polynomial modulo q, with the noise of encryption in its low bits, as
in CKKS (Cheon et al., ASIACRYPT'17). Multiplied by weights of w bits behind the point it becomes v 2^(s+w); the scale
2^s is the largest for which outputs below 2^range_bits still fit between -q/2 and q/2. Only the leading bits of
a coefficient travel, as many as the precision of activations needs: the others are dropped, which is rounding, and
in answers drowned in noise before.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from ppbench.errors import ConfigError, in_range
from ppbench.he.seal import ERROR_VARIANCE, Seal, make_context
from ppbench.he.security import MAX_PRIME_BITS, check_secure
from ppbench.he.wire import SEED_BYTES
from schemes.barni import half_bytes, tiling
from schemes.barni.linear import Geometry, LinearLayer
from schemes.barni.tiling import Tiling

if TYPE_CHECKING:
    from schemes.barni.scheme import Barni

LEAST_FLOODING_BITS = 20
"""What `flooding_bits` must be at the least."""
PLAIN_MODULUS = 1 << 32
"""Modulo which SEAL takes the weights; the scaling by it that BFV is about is not used."""
_MAX_PACKED_BITS = 32


@dataclasses.dataclass(frozen=True)
class Parameters:
    """Of the scheme, with what follows from them."""

    poly_modulus_degree: int
    """N: the coefficients of a polynomial."""
    modulus_bits: int
    """Of q, a single prime: no key is ever switched, and nothing of a sample rescaled."""
    special_modulus_bits: int
    """Of the prime by which blinding is divided; 0: there is none."""
    activation_bits: int
    weight_bits: int
    range_bits: int

    @classmethod
    def of(cls, scheme: Barni) -> Parameters:
        """The scheme's options."""
        names = (field.name for field in dataclasses.fields(cls))
        return cls(**{name: getattr(scheme, name) for name in names})

    @property
    def scale_bits(self) -> int:
        """log2 of what an activation is multiplied by."""
        return self.modulus_bits - 1 - self.range_bits - self.weight_bits

    @property
    def output_scale_bits(self) -> int:
        """log2 of what an output is multiplied by."""
        return self.scale_bits + self.weight_bits

    @property
    def input_bits(self) -> int:
        """Leading bits of a coefficient that go up."""
        return half_bytes.whole(1 + self.range_bits + self.weight_bits + self.activation_bits)

    @property
    def output_bits(self) -> int:
        """Leading bits of an output's coefficient that come down."""
        return half_bytes.whole(1 + self.range_bits + self.activation_bits)

    @property
    def mask_bits(self) -> int:
        """Leading bits that come down of the second component, whose rounding the secret key multiplies."""
        return half_bytes.whole(self.output_bits + math.log2(self.poly_modulus_degree / 18) / 2)

    @property
    def primes_bits(self) -> tuple[int, ...]:
        """Sizes of all primes, the special one last."""
        return (self.modulus_bits, self.special_modulus_bits) if self.special_modulus_bits else (self.modulus_bits,)

    @property
    def blinding_noise(self) -> float:
        """Mean absolute value, in a coefficient, of the noise e of the encryption of zero that blinds an answer.

        It is u e' + e0 + e1 s with the public key's noise e' and secrets s and u of -1, 0 and 1. Where a special prime
        divides that, nothing of it is left but what rounding the two components adds, r0 + r1 s.
        """
        by_a_secret = 2 / 3 * self.poly_modulus_degree
        variance = (1 + by_a_secret) / 12 if self.special_modulus_bits else ERROR_VARIANCE * (1 + 2 * by_a_secret)
        return math.sqrt(2 / math.pi * variance)

    @property
    def flooding_bits(self) -> int:
        """Minus log2 of the statistical distance of an answered output from one without the noise that blinded it.

        Knowing that noise e would help to tell the blinding from the weights. An output gets a number uniform among
        the F = 2^(dropped bits) on top, which e can be told from by at most |e| / F: on average over all e, the
        distance is at most the mean of |e| over F. (The noise of its own ciphertexts the participant knows: it is a
        part of what it encrypted.) In the average of T answers to one question the noise stands out by the root of T,
        so log2(T) / 2 of these bits are gone.
        """
        return math.floor(self.modulus_bits - self.output_bits - math.log2(self.blinding_noise))

    def check(self) -> None:
        """Raise ConfigError, naming the option and what is allowed, for what is insecure or has no room."""
        in_range("scheme.special_modulus_bits", self.special_modulus_bits, 0, MAX_PRIME_BITS)
        check_secure(self.poly_modulus_degree, self.primes_bits)
        in_range("scheme.activation_bits", self.activation_bits, 1)
        in_range("scheme.weight_bits", self.weight_bits, 1)
        in_range("scheme.range_bits", self.range_bits, 1)
        total = 1 + self.range_bits + self.weight_bits + self.activation_bits
        if total > _MAX_PACKED_BITS:
            raise ConfigError(
                f"scheme.range_bits + scheme.weight_bits + scheme.activation_bits = {total - 1} must be at most "
                f"{_MAX_PACKED_BITS - 1}"
            )
        if (missing := LEAST_FLOODING_BITS - self.flooding_bits) > 0:
            raise ConfigError(
                f"scheme.modulus_bits={self.modulus_bits} leaves 2^{self.flooding_bits} times the noise of what blinds "
                f"an answer to drown it in; 2^{LEAST_FLOODING_BITS} times is needed: make scheme.range_bits + "
                f"scheme.activation_bits smaller or scheme.modulus_bits larger by {missing}"
            )

    def check_layer(self, index: int, layer: LinearLayer) -> None:
        """Raise ConfigError if a linear layer has no room in the polynomials, or weights too large for them."""
        needed = tiling.span(layer.geometry, channels=1)
        if needed > self.poly_modulus_degree:
            raise ConfigError(
                f"model: a map that goes into linear layer {index} takes {needed} coefficients: "
                f"scheme.poly_modulus_degree must be at least {1 << (needed - 1).bit_length()}"
            )
        largest = float(np.abs(layer.weight).max(initial=0))
        if (limit := PLAIN_MODULUS / 2.0 ** (2 + self.weight_bits)) < largest:
            raise ConfigError(
                f"model: linear layer {index} has a weight of {largest:.3g}; scheme.weight_bits={self.weight_bits} has "
                f"room up to {limit:.3g}"
            )

    @functools.cache  # noqa: B019 - a handful of sizes, of one scheme in a process
    def tiling(self, geometry: Geometry, n_images: int) -> Tiling:
        """How batches of n images are laid out. Raises ConfigError if there is no way."""
        up = self.poly_modulus_degree * self.input_bits / 8 + SEED_BYTES
        down = self.poly_modulus_degree * self.mask_bits / 8
        found = tiling.best(geometry, self.poly_modulus_degree, n_images, up, down)
        if found is None:
            raise ConfigError(f"{geometry} has no room in scheme.poly_modulus_degree={self.poly_modulus_degree}")
        return found

    def context(self) -> Seal:
        """A context of BFV, whose ciphertexts are coefficients, not values at roots of unity as CKKS's are in SEAL."""
        return make_context(self.poly_modulus_degree, self.primes_bits, PLAIN_MODULUS)
