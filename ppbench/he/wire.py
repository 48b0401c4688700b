"""Ciphertexts as residues: SEAL's serialisation taken apart and put together, and residues in whole bytes.

A ciphertext of SEAL 4, in the NTT form of CKKS or as the coefficients of BFV, is, little-endian:

    header | parms_id 4 x u64 | NTT form u8 | components u64 | N u64 | primes u64 | scale f64 | correction factor u64
    header | number of residues u64 | residues (components, primes, N) u64

A freshly encrypted one, symmetric, has its first component only, and behind it the seed of the second:

    header | generator u8 | seed 64 bytes

where a header is: magic u16 | size u8 | version 2 x u8 | compression u8 | 0 u16 | size with the header u64.

A public key is such a ciphertext, and a secret key, in NTT form, without the first header:

    parms_id 4 x u64 | residues u64 | scale f64 | header | number of residues u64 | residues (primes, N) u64
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from ppbench.bundle import Array
from ppbench.errors import ProtocolError
from ppbench.he.seal import Seal, load, save

SEED_BYTES = 64
_HEADER = struct.Struct("<HBBBBHQ")
_CIPHERTEXT = struct.Struct("<4QBQQQdQ")
_COUNT = struct.Struct("<Q")
_MAGIC = 0xA15E
_NO_COMPRESSION, _ZSTANDARD = 0, 2
_BLAKE2XB = 1
_BEFORE_RESIDUES = _CIPHERTEXT.size + _HEADER.size + _COUNT.size
_BEFORE_SECRET = 6 * 8 + _HEADER.size + _COUNT.size
_SEED_INFO_BYTES = _HEADER.size + 1 + SEED_BYTES


def saved_body(item: Seal) -> memoryview:
    """What SEAL writes of a ciphertext, without its header and its compression."""
    content = save(item).data
    compression = _HEADER.unpack_from(content)[4]
    body = content[_HEADER.size :]
    if compression == _ZSTANDARD:
        import zstandard

        return memoryview(zstandard.ZstdDecompressor().decompress(body))
    if compression == _NO_COMPRESSION:
        return body
    raise RuntimeError(f"SEAL compresses by a method, {compression}, that ppbench does not know")


def seeded_parts(ciphertext: Seal) -> tuple[Array, bytes]:
    """A fresh symmetric ciphertext: residues of its first component (primes, N) uint64, and the second one's seed."""
    body = saved_body(ciphertext)
    *_, degree, n_primes, _, _ = _CIPHERTEXT.unpack_from(body)
    residues = _residues(body, (n_primes, degree))
    info = body[len(body) - _SEED_INFO_BYTES :]
    if len(body) != _BEFORE_RESIDUES + residues.nbytes + len(info) or info[_HEADER.size] != _BLAKE2XB:
        raise RuntimeError("SEAL writes seeded ciphertexts in another way than ppbench knows")
    return residues, bytes(info[-SEED_BYTES:])


def residues_of(ciphertext: Seal) -> Array:
    """Those of a ciphertext with all its components: (components, primes, N) uint64."""
    body = saved_body(ciphertext)
    *_, n_components, degree, n_primes, _, _ = _CIPHERTEXT.unpack_from(body)
    return _residues(body, (n_components, n_primes, degree))


def secret_residues(key: Seal, degree: int) -> Array:
    """Those of a secret key, in NTT form: (primes, N) uint64, the special prime's last."""
    return np.frombuffer(saved_body(key), "<u8", offset=_BEFORE_SECRET).reshape(-1, degree)


def public_key_bytes(generator: Seal) -> Array:
    """The public key of a key generator, (bytes,) uint8: as many for every key of the same parameters."""
    import tenseal.sealapi as sealapi

    key = sealapi.PublicKey()
    generator.create_public_key(key)
    return np.frombuffer(saved_body(key), np.uint8)


def public_key_size(degree: int, n_primes: int) -> int:
    """How many bytes `public_key_bytes` gives, the special prime counted."""
    return _BEFORE_RESIDUES + 2 * n_primes * degree * 8


def load_public_key(content: Array, context: Seal) -> Seal:
    """What `public_key_bytes` gave as a key. Raises ProtocolError for anything else."""
    import tenseal.sealapi as sealapi

    return load(sealapi.PublicKey(), context, np.frombuffer(_header(content.size) + content.tobytes(), np.uint8))


def _header(size: int) -> bytes:
    """Of so many bytes that are not compressed."""
    import tenseal.sealapi as sealapi

    header = sealapi.Serialization.SEALHeader()
    version = (header.version_major, header.version_minor)
    return _HEADER.pack(_MAGIC, _HEADER.size, *version, _NO_COMPRESSION, 0, _HEADER.size + size)


def _residues(body: memoryview, shape: tuple[int, ...]) -> Array:
    return np.frombuffer(body, "<u8", int(np.prod(shape)), _BEFORE_RESIDUES).reshape(shape)


class Assembler:
    """Makes SEAL's ciphertexts of one level of one context."""

    def __init__(self, context: Seal, parms_id: Sequence[int], degree: int, n_primes: int) -> None:
        import tenseal.sealapi as sealapi

        self._sealapi: Seal = sealapi
        self._context = context
        self._parms_id = parms_id
        self._shape = (n_primes, degree)
        # Only the seed differs from one expansion to the next.
        nothing = self._stream(np.zeros(self._shape, "<u8"), 2, 1.0, self._seed_info(bytes(SEED_BYTES)))
        self._seeded = np.frombuffer(bytearray(nothing), np.uint8)

    def ciphertext(self, residues: Array, scale: float, ntt_form: bool = True) -> Seal:
        """Residues (components, primes, N) uint64 as a ciphertext; without NTT form they are coefficients."""
        return self._loaded(self._stream(residues, len(residues), scale, b"", ntt_form))

    def seeded(self, first: Array, seed: Array, scale: float, ntt_form: bool = True) -> Seal:
        """First component (primes, N) uint64 and the seed (64,) uint8 of the second as a whole ciphertext."""
        return self._loaded(self._stream(first, 2, scale, self._seed_info(seed.tobytes()), ntt_form))

    def expand(self, seed: Array) -> Array:
        """The second component (primes, N) uint64 whose seed (64,) uint8 came with the first. By SEAL itself."""
        self._seeded[-SEED_BYTES:] = seed
        body = saved_body(load(self._sealapi.Ciphertext(self._context), self._context, self._seeded))
        second: Array = _residues(body, (2, *self._shape))[1]
        return second

    def _loaded(self, stream: bytes) -> Seal:
        return load(self._sealapi.Ciphertext(self._context), self._context, np.frombuffer(stream, np.uint8))

    def _seed_info(self, seed: bytes) -> bytes:
        return _header(1 + SEED_BYTES) + bytes([_BLAKE2XB]) + seed

    def _stream(
        self, residues: Array, n_components: int, scale: float, seed_info: bytes, ntt_form: bool = True
    ) -> bytes:
        n_primes, degree = self._shape
        members = _CIPHERTEXT.pack(*self._parms_id, ntt_form, n_components, degree, n_primes, scale, 1)
        array = _header(_COUNT.size + residues.nbytes) + _COUNT.pack(residues.size)
        size = len(members) + len(array) + residues.nbytes + len(seed_info)
        return b"".join([_header(size), members, array, residues.data, seed_info])


def n_bytes_of(prime: int) -> int:
    """Whole bytes that a residue modulo the prime needs."""
    return (prime.bit_length() + 7) // 8


def pack(residues: Array, n_bytes: int) -> Array:
    """(..., N) uint64 -> (..., N, n_bytes) uint8: the lowest bytes of each."""
    little = np.ascontiguousarray(residues, "<u8")
    lowest: Array = little.view(np.uint8).reshape(*residues.shape, 8)[..., :n_bytes]
    return lowest


def unpack(packed: Array, values: Array) -> None:
    """(..., N, bytes) uint8, at most 4 bytes each -> `values`, (..., N) of any type of number."""
    n_bytes = packed.shape[-1]
    if n_bytes == 4:
        np.copyto(values, np.ascontiguousarray(packed).view("<u4")[..., 0])
        return
    words = np.zeros((*packed.shape[:-1], 4), np.uint8)
    words[..., :n_bytes] = packed
    np.copyto(values, words.view("<u4")[..., 0])


def check_shapes(arrays: Sequence[Array], shapes: Sequence[tuple[int, ...]]) -> None:
    """Raise ProtocolError unless the arrays are bytes of these shapes."""
    expected, found = list(shapes), [array.shape for array in arrays]
    if found != expected or any(array.dtype != np.uint8 for array in arrays):
        raise ProtocolError(f"ciphertexts come as bytes of shapes {expected}, not {found}")
