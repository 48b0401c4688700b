"""The dealer of SPU's SEMI2K, which SPU's Python package has no server for: it corrects the parties' random numbers.

Each party draws its shares of a triple (a, b, c) from a seed of its own, so they need not be sent. What makes c the
product of a and b is a correction that only the dealer can compute: it knows both seeds, each sent to it under its
public key. One of the parties asks for it and adds it to its share of c. So the dealer sees nothing but seeds and
sizes, and the party that does not ask has no traffic with it at all.

The protocol is SPU's own (`BeaverService` of spu 0.9.5): HTTP/1.1, the request in JSON, the answer one chunk: a byte
0, the length as 8 bytes, the correction. Integers are little-endian.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import http.server
import json
import secrets
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ppbench.bundle import Array
from ppbench.errors import ProtocolError, UnavailableError
from schemes.mpc.spu.sm2 import PrivateKey

_BLOCK = 16
"""Bytes of an AES block."""
_ELEMENTS: Mapping[int, np.dtype[Any]] = {4: np.dtype("<u4"), 8: np.dtype("<u8")}
"""Bytes of a ring element -> its type."""
_BITS_ONLY = 8
"""AdjustAnd states no element size, as any does for bits."""
_REFUSED = 1
"""The first byte of an answer that is an error message."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """One random array that the parties share: where each of their generators stood, and its size."""

    counter: int
    n_bytes: int
    encrypted_seeds: tuple[bytes, ...]

    @property
    def n_blocks(self) -> int:
        """How many numbers of the generator it takes, each encrypted to a block."""
        return -(-self.n_bytes // _BLOCK)


@dataclasses.dataclass(frozen=True)
class Request:
    """One call: the arrays to be corrected, and the numbers that some corrections need."""

    drawn: tuple[Drawn, ...]
    numbers: Mapping[str, int]
    """AdjustDot: a is M x K and b is K x N; 0 for any other."""
    element: np.dtype[Any]
    """Of the ring: all numbers are modulo 2 to the power of its bits."""
    transposed: tuple[bool, ...]
    """AdjustDot: whether each factor was drawn as its transpose."""


class Dealer:
    """Answers at (host, port), in threads of its own, from `start` to `close`."""

    def __init__(self, address: tuple[str, int], observe: Callable[[bytes], None] = lambda body: None) -> None:
        """`observe` is shown every request.

        Raises UnavailableError without the package `cryptography`, OSError if the port is taken.
        """
        _require_aes()
        self._key = PrivateKey.generate()
        self._seed = functools.lru_cache(self._key.decrypt)
        self._given = _Given()
        self._observe = observe
        self._server = _Server(address, self.correction)

    @property
    def public_key(self) -> str:
        """PEM; each party encrypts its seed with it."""
        return self._key.public_pem()

    def start(self) -> None:
        """Begin to answer."""
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def correction(self, operation: str, body: bytes) -> bytes:
        """What the asking party adds to its share. Raises ProtocolError for a request it cannot answer."""
        if operation not in _CORRECTIONS:
            raise ProtocolError(f"the dealer has no '{operation}', only {', '.join(_CORRECTIONS)}")
        self._observe(body)
        request = parse(body)
        self._given.enter(request.drawn)
        arrays = [
            [
                draw(self._seed(seed), drawn.counter, drawn.n_bytes).view(request.element)
                for seed in drawn.encrypted_seeds
            ]
            for drawn in request.drawn
        ]
        return _CORRECTIONS[operation](request, arrays).tobytes()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], answer: Callable[[str, bytes], bytes]) -> None:
        super().__init__(address, _Handler)
        self.answer = answer
        self._ended: list[Any] = []

    def shutdown_request(self, request: Any) -> None:
        # SPU drops a connection after some idle seconds, and the kernel forgets a socket's count with the socket.
        self._ended.append(request)


class _Given:
    """Which random numbers are in use: a mask that is used twice hides nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: dict[tuple[bytes, ...], int] = {}
        """Seeds -> the first number that no array has been drawn from."""
        self._kept: set[Drawn] = set()

    def enter(self, arrays: Sequence[Drawn]) -> None:
        """Raises ProtocolError if a number would be used twice, other than by a mask that the parties keep."""
        with self._lock:
            for array in arrays:
                if array in self._kept:
                    continue
                following = self._next.get(array.encrypted_seeds, 0)
                if array.counter < following and not self._keep(array, arrays):
                    raise ProtocolError(f"a party would draw the numbers from {array.counter} on a second time")
                self._next[array.encrypted_seeds] = max(following, array.counter + array.n_blocks)

    def _keep(self, array: Drawn, arrays: Sequence[Drawn]) -> bool:
        # SPU 0.9.5 does not count a mask that it keeps as drawn: the product in the same request begins where it
        # does. If the product covers it, no later array can meet it again.
        mask = arrays[1]
        if array is not arrays[-1] or array.counter != mask.counter or array.n_bytes < mask.n_bytes:
            return False
        self._kept.add(mask)
        return True


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body leave together: apart, the second would wait for the acknowledgement of the first.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = 0
        try:
            content = self.server.answer(self.path.rpartition("/")[2], body)
        except ProtocolError as error:
            status, content = _REFUSED, str(error).encode()
        self.send_response_only(200)
        self.send_header("Content-Length", str(9 + len(content)))
        self.end_headers()
        self.wfile.write(struct.pack("<Bq", status, len(content)) + content)
        self.wfile.flush()


def draw(seed: bytes, counter: int, n_bytes: int) -> Array:
    """(n_bytes,) uint8 of SPU's generator: AES-128 of the numbers from `counter` on, under the seed."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    numbers = np.zeros((-(-n_bytes // _BLOCK), 2), "<u8")
    numbers[:, 0] = np.arange(counter, counter + len(numbers), dtype="<u8")
    # The blocks are numbered and never repeat, which makes this counter mode.
    encryptor = Cipher(algorithms.AES128(seed), modes.ECB()).encryptor()
    return np.frombuffer(encryptor.update(numbers.tobytes()), np.uint8, n_bytes)


def parse(body: bytes) -> Request:
    """A request as SPU sends it. Raises ProtocolError if it is not one."""
    try:
        fields = json.loads(body)
        arrays = [
            Drawn(
                array.get("prg_count", 0),
                array["buffer_len"],
                tuple(base64.b64decode(seed, validate=True) for seed in array["encrypted_seeds"]),
            )
            for array in fields["prg_inputs"]
        ]
        numbers = {name: int(fields.get(name, 0)) for name in "MNK"}
        size = int(fields.get("field_size", _BITS_ONLY))
        kind = fields.get("element_type", "RING")
        transposed = tuple(map(bool, fields.get("transpose_inputs", ())))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProtocolError(f"the dealer got what is no request: {error!r}") from None
    if size not in _ELEMENTS or kind not in ("RING", "UNSPECIFIED") or any(array.n_bytes % size for array in arrays):
        raise ProtocolError(f"the dealer corrects rings of 32 or 64 bits, not {kind} of {8 * size} bits")
    return Request(tuple(arrays), numbers, _ELEMENTS[size], transposed)


def _sum(shares: Sequence[Array]) -> Array:
    # Said, for numpy would sum 32-bit numbers in 64.
    total: Array = np.add.reduce(shares, dtype=shares[0].dtype)
    return total


def _xor(shares: Sequence[Array]) -> Array:
    total: Array = np.bitwise_xor.reduce(shares)
    return total


_Arrays = list[list[Array]]
"""One list of shares, an array of each party, for each array drawn."""


def _mul(request: Request, arrays: _Arrays) -> Array:
    a, b, c = map(_sum, arrays)
    return a * b - c


def _mul_private(request: Request, arrays: _Arrays) -> Array:
    # One factor is the first party's alone, the other the second's.
    (a, b), c = arrays[0], _sum(arrays[1])
    return a * b - c


def _dot(request: Request, arrays: _Arrays) -> Array:
    m, n, k = (request.numbers[name] for name in "MNK")
    a, b, c = map(_sum, arrays)
    a_transposed, b_transposed, _ = request.transposed
    left = a.reshape(k, m).T if a_transposed else a.reshape(m, k)
    right = b.reshape(n, k).T if b_transposed else b.reshape(k, n)
    product: Array = left @ right
    return product.ravel() - c


def _and(request: Request, arrays: _Arrays) -> Array:
    a, b, c = map(_xor, arrays)
    return (a & b) ^ c


def _random_bits(request: Request, arrays: _Arrays) -> Array:
    (share,) = map(_sum, arrays)
    return np.frombuffer(secrets.token_bytes(share.size), np.uint8).astype(request.element) % 2 - share


_CORRECTIONS: Mapping[str, Callable[[Request, _Arrays], Array]] = {
    "AdjustMul": _mul,
    "AdjustMulPriv": _mul_private,
    "AdjustDot": _dot,
    "AdjustAnd": _and,
    "AdjustRandBit": _random_bits,
}


def _require_aes() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise UnavailableError("SPU's dealer needs AES: pip install 'cryptography>=42'") from error
