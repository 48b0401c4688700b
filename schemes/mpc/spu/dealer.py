"""The dealer of SPU's SEMI2K, which SPU's Python package has no server for: it corrects the parties' random numbers.

Each party draws its shares of a triple (a, b, c) from a seed of its own, so they need not be sent. What makes c the
product of a and b is a correction that only the dealer can compute: it knows both seeds, each sent to it under its
public key. One of the parties asks for it and adds it to its share of c. So the dealer sees nothing but seeds and
sizes, and the party that does not ask has no traffic with it at all.

The party that asks passes the other's seed on, and could ask for more than SPU does: what it drew from that seed beside
a seed of its own choice, or a second time, would unmask the other party. So the first request settles the two seeds of
the job, no number of theirs is drawn twice, and a request is held to what its operation takes.

The protocol is SPU's own (`BeaverService` of spu 0.9.5): HTTP/1.1, the request in JSON, the answer one chunk: a byte
0, the length as 8 bytes, the correction. Integers are little-endian.
"""

from __future__ import annotations

import base64
import dataclasses
import http.server
import json
import secrets
import struct
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
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
_SEED_BYTES = 16
"""Of a key of AES-128."""
_MOST_BODY_BYTES = 1 << 16
"""Of a request: three arrays, each named by two ciphertexts of about 125 bytes."""
_MOST_DRAWN_BYTES = 1 << 30
"""Of the arrays of one request together."""
_MOST_NUMBERS = 1 << 48
"""Of a job: beyond them a counter would wrap in the end, and the generator begin anew."""


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
        self._seeds = _Seeds(self._key.decrypt)
        self._given = _Given()
        self._observe = observe
        self.address = address
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
        chosen = _CORRECTIONS[operation]
        _check_sizes(operation, request, chosen.sizes(request))
        seeds = self._seeds.of_job({drawn.encrypted_seeds for drawn in request.drawn})
        self._given.enter(request.drawn)
        arrays = [
            [draw(seed, drawn.counter, drawn.n_bytes).view(request.element) for seed in seeds]
            for drawn in request.drawn
        ]
        return chosen.compute(request, arrays).tobytes()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], answer: Callable[[str, bytes], bytes]) -> None:
        super().__init__(address, _Handler)
        self.answer = answer
        self._ended: list[Any] = []

    def shutdown_request(self, request: Any) -> None:
        # SPU drops a connection after some idle seconds, and the kernel forgets a socket's count with the socket.
        self._ended.append(request)


class _Seeds:
    """The seeds of the two parties, which the first request settles for the job."""

    def __init__(self, decrypt: Callable[[bytes], bytes]) -> None:
        self._decrypt = decrypt
        self._lock = threading.Lock()
        self._encrypted: tuple[bytes, ...] = ()
        self._clear: tuple[bytes, ...] = ()

    def of_job(self, pairs: Collection[tuple[bytes, ...]]) -> tuple[bytes, ...]:
        """The seeds of a request, whose arrays name these pairs. Raises ProtocolError unless they are the job's."""
        with self._lock:
            if not self._encrypted and len(pairs) == 1:
                self._settle(next(iter(pairs)))
            if set(pairs) != {self._encrypted}:
                raise ProtocolError("the dealer has settled the two seeds of this job, and a request names others")
            return self._clear

    def _settle(self, encrypted: tuple[bytes, ...]) -> None:
        clear = tuple(map(self._decrypt, encrypted))
        # Of equal seeds one party would know the other's numbers, whatever their ciphertexts look like.
        if len(clear) != 2 or clear[0] == clear[1] or any(len(seed) != _SEED_BYTES for seed in clear):
            raise ProtocolError(f"the dealer corrects for two parties with different seeds of {_SEED_BYTES} bytes")
        self._encrypted, self._clear = encrypted, clear


class _Given:
    """Which random numbers are in use: a mask that is used twice hides nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0
        """The first number that no array has been drawn from; the parties' generators keep step."""
        self._kept: set[Drawn] = set()

    def enter(self, arrays: Sequence[Drawn]) -> None:
        """Raises ProtocolError if a number would be used twice, other than by a mask that the parties keep."""
        with self._lock:
            for array in arrays:
                if array in self._kept:
                    continue
                if array.counter < self._next and not self._keep(array, arrays):
                    raise ProtocolError(f"a party would draw the numbers from {array.counter} on a second time")
                self._next = max(self._next, array.counter + array.n_blocks)

    def _keep(self, array: Drawn, arrays: Sequence[Drawn]) -> bool:
        # SPU 0.9.5 does not count a mask that it keeps as drawn: the product in the same request begins where it
        # does. If the product covers it, no later array can meet it again.
        if len(arrays) != _N_TRIPLE or array is not arrays[-1]:
            return False
        mask = arrays[1]
        if array.counter != mask.counter or array.n_bytes < mask.n_bytes:
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
        status = 0
        try:
            content = self.server.answer(self.path.rpartition("/")[2], self._body())
        except ProtocolError as error:
            status, content = _REFUSED, str(error).encode()
        self.send_response_only(200)
        self.send_header("Content-Length", str(9 + len(content)))
        self.end_headers()
        self.wfile.write(struct.pack("<Bq", status, len(content)) + content)
        self.wfile.flush()

    def _body(self) -> bytes:
        stated = self.headers.get("Content-Length", "")
        if not (stated.isascii() and stated.isdecimal() and int(stated) <= _MOST_BODY_BYTES):
            # What follows on this connection is unknown.
            self.close_connection = True
            raise ProtocolError(f"a request of at most {_MOST_BODY_BYTES} bytes is awaited, not of '{stated[:20]}'")
        return self.rfile.read(int(stated))


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
                _whole(array.get("prg_count", 0)),
                _whole(array["buffer_len"]),
                tuple(base64.b64decode(seed, validate=True) for seed in array["encrypted_seeds"]),
            )
            for array in fields["prg_inputs"]
        ]
        numbers = {name: _whole(fields.get(name, 0)) for name in "MNK"}
        size = int(fields.get("field_size", _BITS_ONLY))
        kind = fields.get("element_type", "RING")
        transposed = tuple(map(bool, fields.get("transpose_inputs", ())))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise ProtocolError(f"the dealer got what is no request: {error!r}") from None
    if size not in _ELEMENTS or kind not in ("RING", "UNSPECIFIED") or any(array.n_bytes % size for array in arrays):
        raise ProtocolError(f"the dealer corrects rings of 32 or 64 bits, not {kind} of {8 * size} bits")
    if (total := sum(array.n_bytes for array in arrays)) > _MOST_DRAWN_BYTES:
        raise ProtocolError(f"the dealer draws at most {_MOST_DRAWN_BYTES} bytes for a request, not {total}")
    if any(array.counter + array.n_blocks > _MOST_NUMBERS for array in arrays):
        raise ProtocolError(f"the dealer draws the first {_MOST_NUMBERS} numbers of a seed alone")
    return Request(tuple(arrays), numbers, _ELEMENTS[size], transposed)


def _whole(value: Any) -> int:
    """A number as JSON has it; 64-bit ones come as text. Raises ValueError for a negative one."""
    if (number := int(value)) < 0:
        raise ValueError(f"{number} is negative")
    return number


def _check_sizes(operation: str, request: Request, expected: Sequence[int]) -> None:
    """Raises ProtocolError unless the arrays are as many, and as large, as the operation takes."""
    found = [array.n_bytes for array in request.drawn]
    if found != list(expected) or not all(found):
        raise ProtocolError(f"{operation} takes arrays of {list(expected)} bytes, not of {found}")


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


_N_TRIPLE = 3


def _equal(n: int) -> Callable[[Request], list[int]]:
    """Sizes of n arrays, all that of the first."""
    return lambda request: [request.drawn[0].n_bytes] * n if request.drawn else [0] * n


def _of_matrices(request: Request) -> list[int]:
    m, n, k = (request.numbers[name] for name in "MNK")
    if len(request.transposed) != _N_TRIPLE:
        raise ProtocolError(f"AdjustDot says of {_N_TRIPLE} matrices whether they are transposed, no more and no less")
    return [request.element.itemsize * size for size in (m * k, k * n, m * n)]


@dataclasses.dataclass(frozen=True)
class _Correction:
    """One operation."""

    compute: Callable[[Request, _Arrays], Array]
    sizes: Callable[[Request], list[int]]
    """Of the arrays it takes, in bytes."""


_CORRECTIONS: Mapping[str, _Correction] = {
    "AdjustMul": _Correction(_mul, _equal(_N_TRIPLE)),
    "AdjustMulPriv": _Correction(_mul_private, _equal(2)),
    "AdjustDot": _Correction(_dot, _of_matrices),
    "AdjustAnd": _Correction(_and, _equal(_N_TRIPLE)),
    "AdjustRandBit": _Correction(_random_bits, _equal(1)),
}


def _require_aes() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise UnavailableError("SPU's dealer needs AES: pip install 'cryptography>=42'") from error
