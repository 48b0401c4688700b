"""Which parameters of ring learning with errors are secure: the tables that every scheme on SEAL is held to.

For 128 bits against classical attacks, with secrets of -1, 0 and 1 and errors of standard deviation 3.2. What counts is
the whole modulus under which anything is published, SEAL's special prime included where keys are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ppbench.errors import ConfigError, in_range

MAX_PRIME_BITS = 60
"""SEAL's own bound for one prime of the coefficient modulus."""
GUIDELINES_2024, STANDARD_2018 = "guidelines_2024", "standard_2018"
MAX_MODULUS_BITS: Mapping[str, Mapping[int, int]] = {
    GUIDELINES_2024: {1024: 26, 2048: 53, 4096: 106, 8192: 214, 16384: 430, 32768: 868},
    STANDARD_2018: {1024: 27, 2048: 54, 4096: 109, 8192: 218, 16384: 438, 32768: 881},
}
"""Polynomial modulus degree -> largest coefficient modulus in bits, by each table.

`guidelines_2024`: Bossuat et al., Security Guidelines for Implementing Homomorphic Encryption, ePrint 2024/463.
`standard_2018`: Albrecht et al., Homomorphic Encryption Standard, table 1, which SEAL itself enforces; by the attacks
known since, it is a little below 128 bits.
"""


def check_secure(poly_modulus_degree: int, modulus_bits: Sequence[int], table: str = GUIDELINES_2024) -> None:
    """Raise ConfigError unless the table promises 128 bits of security with primes of these sizes."""
    limits = MAX_MODULUS_BITS[table]
    if poly_modulus_degree not in limits:
        known = ", ".join(map(str, limits))
        raise ConfigError(f"scheme.poly_modulus_degree={poly_modulus_degree} must be one of {known}")
    for bits in modulus_bits:
        # The primes are 1 modulo 2N, and there are few small ones.
        in_range("scheme.modulus_bits", bits, poly_modulus_degree.bit_length() + 2, MAX_PRIME_BITS)
    if (total := sum(modulus_bits)) > (limit := limits[poly_modulus_degree]):
        raise ConfigError(
            f"scheme.modulus_bits={list(modulus_bits)} are {total} bits; for 128-bit security at "
            f"scheme.poly_modulus_degree={poly_modulus_degree} they must be at most {limit} ({table})"
        )
