"""CKKS parameters: the scheme's own, or what a packing recommends."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ppbench.errors import ConfigError, in_range
from ppbench.he.seal import Seal, make_context
from ppbench.he.security import GUIDELINES_2024, MAX_PRIME_BITS, check_secure

if TYPE_CHECKING:
    from schemes.cryptonets.scheme import CryptoNets


@dataclasses.dataclass(frozen=True)
class Parameters:
    """CKKS parameters."""

    poly_modulus_degree: int
    """N; a ciphertext has N/2 slots."""
    modulus_bits: tuple[int, ...]
    """Size of each prime of the coefficient modulus; the last one is the special prime, for key switching only."""
    scale_bits: tuple[int, ...]
    """log2 of the factors by which values are multiplied before they are rounded; what each is for, a packing says."""
    security: str = GUIDELINES_2024
    """The table that the first two are held to."""

    @property
    def n_slots(self) -> int:
        """Values in one ciphertext."""
        return self.poly_modulus_degree // 2

    @classmethod
    def chosen(cls, scheme: CryptoNets, recommended: Parameters) -> Parameters:
        """The scheme's options, and what a packing recommends where they are left at 0 or ()."""
        return cls(
            scheme.poly_modulus_degree or recommended.poly_modulus_degree,
            scheme.modulus_bits or recommended.modulus_bits,
            scheme.scale_bits or recommended.scale_bits,
            scheme.security,
        )

    def check(self, n_primes: int, n_scales: int) -> None:
        """Raise ConfigError for what SEAL cannot use, is not secure, or is not as many as the circuit needs."""
        check_secure(self.poly_modulus_degree, self.modulus_bits, self.security)
        if len(self.modulus_bits) != n_primes:
            raise ConfigError(
                f"scheme.modulus_bits={list(self.modulus_bits)} must have {n_primes} primes: fewer are not deep enough "
                "for the network, and more only make it slower"
            )
        if len(self.scale_bits) != n_scales:
            raise ConfigError(f"scheme.scale_bits={list(self.scale_bits)} must have {n_scales} values")
        for bits in self.scale_bits:
            in_range("scheme.scale_bits", bits, 1, MAX_PRIME_BITS)

    def context(self) -> Seal:
        """A CKKS context. Raises ConfigError if SEAL refuses the parameters."""
        return make_context(self.poly_modulus_degree, self.modulus_bits)
