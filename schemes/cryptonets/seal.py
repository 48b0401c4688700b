"""Microsoft SEAL, as `tenseal.sealapi` binds it: parameters with their checks, and ciphertexts as bytes.

SEAL writes to and reads from paths only, so what is sent passes through files in memory (`memfd_create`), which
no other process can open by name and which vanish when they are closed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from ppbench.bundle import Array
from ppbench.errors import ConfigError, ProtocolError, in_range

if TYPE_CHECKING:
    from schemes.cryptonets.scheme import CryptoNets

Seal: TypeAlias = Any
"""An object of SEAL's; its Python module has no type stubs."""
T = TypeVar("T")

MAX_MODULUS_BITS = {1024: 27, 2048: 54, 4096: 109, 8192: 218, 16384: 438, 32768: 881}
"""Polynomial modulus degree -> largest coefficient modulus in bits, the special prime included.

For 128-bit security with ternary secrets against classical attacks: Albrecht et al., Homomorphic Encryption
Standard (2018), table 1.
"""
MAX_PRIME_BITS = 60
"""SEAL's own bound for one prime of the coefficient modulus."""


@dataclasses.dataclass(frozen=True)
class Parameters:
    """CKKS parameters."""

    poly_modulus_degree: int
    """N; a ciphertext has N/2 slots."""
    modulus_bits: tuple[int, ...]
    """Size of each prime of the coefficient modulus; the last one is the special prime, for key switching only."""
    scale_bits: tuple[int, ...]
    """log2 of the factors by which values are multiplied before they are rounded; what each is for, a packing says."""

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
        )

    def check(self, n_primes: int, n_scales: int) -> None:
        """Raise ConfigError for what SEAL cannot use, is not secure, or is not as many as the circuit needs."""
        check_secure(self.poly_modulus_degree, self.modulus_bits)
        if len(self.modulus_bits) != n_primes:
            raise ConfigError(
                f"scheme.modulus_bits={list(self.modulus_bits)} must have {n_primes} primes: fewer are not deep enough "
                "for the network, and more only make it slower"
            )
        if len(self.scale_bits) != n_scales:
            raise ConfigError(f"scheme.scale_bits={list(self.scale_bits)} must have {n_scales} values")
        for bits in self.scale_bits:
            in_range("scheme.scale_bits", bits, 1, MAX_PRIME_BITS)


def check_secure(poly_modulus_degree: int, modulus_bits: tuple[int, ...]) -> None:
    """Raise ConfigError unless the standard promises 128 bits of security; `modulus_bits` as in `Parameters`."""
    if poly_modulus_degree not in MAX_MODULUS_BITS:
        known = ", ".join(map(str, MAX_MODULUS_BITS))
        raise ConfigError(f"scheme.poly_modulus_degree={poly_modulus_degree} must be one of {known}")
    for bits in modulus_bits:
        # The primes are 1 modulo 2N, and there are few small ones.
        in_range("scheme.modulus_bits", bits, poly_modulus_degree.bit_length() + 2, MAX_PRIME_BITS)
    if sum(modulus_bits) > MAX_MODULUS_BITS[poly_modulus_degree]:
        raise ConfigError(
            f"scheme.modulus_bits={list(modulus_bits)} are {sum(modulus_bits)} bits; for 128-bit security at "
            f"scheme.poly_modulus_degree={poly_modulus_degree} they must be at most "
            f"{MAX_MODULUS_BITS[poly_modulus_degree]} (HE standard)"
        )


def make_context(parameters: Parameters) -> Seal:
    """A SEALContext of 128-bit security. Raises ConfigError if SEAL refuses the parameters."""
    import tenseal.sealapi as sealapi

    encryption = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
    encryption.set_poly_modulus_degree(parameters.poly_modulus_degree)
    try:
        primes = sealapi.CoeffModulus.Create(parameters.poly_modulus_degree, list(parameters.modulus_bits))
    except RuntimeError as error:
        raise ConfigError(f"scheme.modulus_bits={list(parameters.modulus_bits)}: SEAL says '{error}'") from None
    encryption.set_coeff_modulus(primes)
    context = sealapi.SEALContext(encryption, True, sealapi.SEC_LEVEL_TYPE.TC128)
    if not context.parameters_set():
        raise ConfigError(f"SEAL refuses {parameters}: {context.parameters_error_message()}")
    return context


def levels(context: Seal) -> list[Seal]:
    """The parms_id of each level, from that of a fresh ciphertext down; each has one prime less."""
    found, level = [], context.first_context_data()
    while level is not None:
        found.append(level.parms_id())
        level = level.next_context_data()
    return found


def primes(context: Seal) -> list[int]:
    """The coefficient modulus of a fresh ciphertext, without the special prime; the last is the first to be dropped."""
    return [modulus.value() for modulus in context.first_context_data().parms().coeff_modulus()]


def galois_elements(steps: set[int], poly_modulus_degree: int) -> list[int]:
    """What `create_galois_keys` takes, for rotations to the left by so many slots."""
    return [pow(3, step % (poly_modulus_degree // 2), 2 * poly_modulus_degree) for step in sorted(steps)]


def save(item: Seal) -> Array:
    """SEAL's serialisation of a ciphertext or key, (bytes,) uint8."""
    with _memory_file() as (descriptor, path):
        item.save(path)
        content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    return np.frombuffer(content, np.uint8)


def load(item: T, context: Seal, content: Array) -> T:
    """`item`, a new ciphertext or key, filled with what `save` wrote, which SEAL checks against the context.

    Raises ProtocolError for anything else.
    """
    with _memory_file() as (descriptor, path):
        os.write(descriptor, np.ascontiguousarray(content, np.uint8).data)
        try:
            item.load(context, path)  # type: ignore[attr-defined]
        except (RuntimeError, ValueError) as error:
            raise ProtocolError(f"{type(item).__name__} of {content.size} B cannot be read: {error}") from None
    return item


def join(items: Sequence[Array]) -> list[Array]:
    """Any number of serialisations as the two arrays of one message."""
    sizes = np.array([item.size for item in items], np.uint32)
    return [sizes, np.concatenate(items)]


def split(arrays: Sequence[Array]) -> list[Array]:
    """What `join` joined. Raises ProtocolError for anything else."""
    match arrays:
        case [sizes, content] if sizes.dtype == np.uint32 and content.dtype == np.uint8 and sizes.ndim == 1:
            ends = np.cumsum(sizes, dtype=np.int64)
            if content.shape == (sum(map(int, sizes)),):
                return np.split(content, ends[:-1])
    raise ProtocolError(f"serialisations with their sizes are awaited, not {[(a.dtype, a.shape) for a in arrays]}")


@contextlib.contextmanager
def _memory_file() -> Iterator[tuple[int, str]]:
    descriptor = os.memfd_create("ppbench-seal")
    try:
        yield descriptor, f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
