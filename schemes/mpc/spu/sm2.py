"""SM2 decryption (GB/T 32918.4), the one public-key encryption that SPU's parties can send their seeds under.

In plain integers and not in constant time: the key lives for one job and decrypts two seeds, so there is nothing
to average over.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import secrets
from typing import TypeAlias

from ppbench.errors import ProtocolError, UnavailableError

Point: TypeAlias = tuple[int, int] | None
"""A point of the curve; None is the one at infinity."""

_P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
_A = _P - 3
_B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
_ORDER = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
_BASE = (
    0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
    0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0,
)
_PUBLIC_DER = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d03420004")
"""What comes before the coordinates in a DER SubjectPublicKeyInfo of this curve."""


@dataclasses.dataclass(frozen=True)
class PrivateKey:
    """A number below the curve's order."""

    number: int = dataclasses.field(repr=False)

    @classmethod
    def generate(cls) -> PrivateKey:
        """A fresh one. Raises UnavailableError where Python's OpenSSL lacks the hash SM3."""
        if "sm3" not in hashlib.algorithms_available:
            raise UnavailableError(
                "SPU's dealer needs SM3, which this Python's OpenSSL lacks: use OpenSSL 1.1.1 or later"
            )
        return cls(1 + secrets.randbelow(_ORDER - 2))

    def public_pem(self) -> str:
        """The public key as PEM."""
        point = _times(self.number, _BASE)
        assert point is not None
        encoded = base64.encodebytes(_PUBLIC_DER + _bytes(point[0]) + _bytes(point[1])).decode()
        return f"-----BEGIN PUBLIC KEY-----\n{encoded}-----END PUBLIC KEY-----\n"

    def decrypt(self, ciphertext: bytes) -> bytes:
        """The message of a ciphertext in ASN.1 as OpenSSL writes it. Raises ProtocolError if it is none of this key."""
        x, y, digest, masked = _sequence(ciphertext)
        point = (int.from_bytes(x), int.from_bytes(y))
        if (point[1] ** 2 - point[0] ** 3 - _A * point[0] - _B) % _P:
            raise ProtocolError("an SM2 ciphertext with a point that is not on the curve")
        shared = _times(self.number, point)
        assert shared is not None
        first, second = map(_bytes, shared)
        message = bytes(a ^ b for a, b in zip(masked, _stretched(first + second, len(masked)), strict=True))
        if not secrets.compare_digest(_sm3(first + message + second), digest):
            raise ProtocolError("an SM2 ciphertext that this key does not decrypt")
        return message


def _bytes(coordinate: int) -> bytes:
    return coordinate.to_bytes(32)


def _sm3(content: bytes) -> bytes:
    return hashlib.new("sm3", content).digest()


def _stretched(secret: bytes, n_bytes: int) -> bytes:
    blocks = (_sm3(secret + index.to_bytes(4)) for index in range(1, 2 + n_bytes // 32))
    return b"".join(blocks)[:n_bytes]


def _sequence(encoded: bytes) -> list[bytes]:
    """The four parts of SEQUENCE {INTEGER, INTEGER, OCTET STRING, OCTET STRING}, each shorter than 128 bytes."""
    parts: list[bytes] = []
    # A sequence of 128 to 255 bytes has its length in a second byte.
    at = 3 if encoded[1:2] == b"\x81" else 2
    while at + 1 < len(encoded):
        stop = at + 2 + encoded[at + 1]
        parts.append(encoded[at + 2 : stop])
        at = stop
    if len(parts) != 4 or at != len(encoded):
        raise ProtocolError("what should be an SM2 ciphertext is none")
    return parts


def _times(factor: int, point: Point) -> Point:
    product: Point = None
    while factor:
        if factor & 1:
            product = _plus(product, point)
        point = _plus(point, point)
        factor >>= 1
    return product


def _plus(first: Point, second: Point) -> Point:
    if first is None or second is None:
        return first or second
    (x1, y1), (x2, y2) = first, second
    if x1 == x2:
        if (y1 + y2) % _P == 0:
            return None
        slope = (3 * x1 * x1 + _A) * pow(2 * y1, -1, _P)
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, _P)
    x3 = (slope * slope - x1 - x2) % _P
    return x3, (slope * (x1 - x3) - y1) % _P
