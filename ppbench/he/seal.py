"""Microsoft SEAL, as `tenseal.sealapi` binds it: contexts, and ciphertexts and keys as bytes.

SEAL writes to and reads from paths only, so what is sent passes through files in memory (`memfd_create`), which
no other process can open by name and which vanish when they are closed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np

from ppbench.bundle import Array
from ppbench.errors import ConfigError, ProtocolError

Seal: TypeAlias = Any
"""An object of SEAL's; its Python module has no type stubs."""
T = TypeVar("T")

ERROR_VARIANCE = 10.5
"""Of a fresh ciphertext's noise: the difference of two sums of 21 coins, a standard deviation of 3.24."""


def import_library() -> None:
    """SEAL's binding and what reads its files, for a role that is made: they are used where this module is not."""
    import tenseal.sealapi  # noqa: F401
    import zstandard  # noqa: F401


def make_context(poly_modulus_degree: int, modulus_bits: tuple[int, ...], plain_modulus: int | None = None) -> Seal:
    """A SEALContext: of CKKS, or with a plain modulus of BFV.

    Raises ConfigError if SEAL refuses the parameters. It holds them to the standard of 2018: `ppbench.he.security` has
    checked them before.
    """
    import tenseal.sealapi as sealapi

    modulus = _coefficient_modulus(poly_modulus_degree, modulus_bits)
    kind = sealapi.SCHEME_TYPE.CKKS if plain_modulus is None else sealapi.SCHEME_TYPE.BFV
    encryption = sealapi.EncryptionParameters(kind)
    encryption.set_poly_modulus_degree(poly_modulus_degree)
    encryption.set_coeff_modulus(modulus)
    if plain_modulus is not None:
        encryption.set_plain_modulus(plain_modulus)
    context = sealapi.SEALContext(encryption, True, sealapi.SEC_LEVEL_TYPE.TC128)
    if not context.parameters_set():
        raise ConfigError(
            f"SEAL refuses scheme.poly_modulus_degree={poly_modulus_degree} with "
            f"scheme.modulus_bits={list(modulus_bits)}: {context.parameters_error_message()}"
        )
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


def primes_of(poly_modulus_degree: int, modulus_bits: Sequence[int]) -> list[int]:
    """The primes that a context with these sizes would have. Raises ConfigError if there are not enough."""
    return [modulus.value() for modulus in _coefficient_modulus(poly_modulus_degree, modulus_bits)]


def _coefficient_modulus(poly_modulus_degree: int, modulus_bits: Sequence[int]) -> list[Seal]:
    import tenseal.sealapi as sealapi

    try:
        found: list[Seal] = sealapi.CoeffModulus.Create(poly_modulus_degree, list(modulus_bits))
    except RuntimeError as error:
        raise ConfigError(f"scheme.modulus_bits={list(modulus_bits)}: SEAL says '{error}'") from None
    return found


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


def resident_bytes(poly_modulus_degree: int, modulus_bits: tuple[int, ...]) -> float:
    """The least that encrypting, decrypting and making keys works on, however many keys and ciphertexts there are.

    That is a ternary secret, in two bits a coefficient, and a polynomial modulo the largest prime. All else is made,
    sent and used up residue by residue, as SEAL-Embedded does (Natarajan & Dai, TCHES'21).
    """
    return poly_modulus_degree * (2 + max(modulus_bits)) / 8


@contextlib.contextmanager
def _memory_file() -> Iterator[tuple[int, str]]:
    descriptor = os.memfd_create("ppbench-seal")
    try:
        yield descriptor, f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
