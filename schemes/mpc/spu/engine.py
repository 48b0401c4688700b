"""Inference on secret shares by SecretFlow SPU, between two processes that SPU itself connects.

SPU pins numpy below 2 and jax, so a party that uses it runs in an interpreter of its own:
`python3 -m venv ~/.cache/ppbench/spu && ~/.cache/ppbench/spu/bin/pip install spu==0.9.5 cryptography`.
SPU is imported when an engine is made, never with this module.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

import numpy as np

from ppbench.bundle import Array
from ppbench.errors import ConfigError, PeerGone, ProtocolError, UnavailableError
from ppbench.models.network import Network
from schemes.mpc.spu import jax_network

Protocol = Literal["semi2k", "cheetah"]
Spu: TypeAlias = Any
"""An object of SPU's, which has no type stubs that mypy can read."""
Address: TypeAlias = tuple[str, int]

COORDINATOR, PARTICIPANT = 0, 1
"""Ranks. Rank 0 alone talks with the dealer, and the device is not to download what the cloud can."""
INSTALL = "pip install spu==0.9.5 cryptography (numpy < 2: in an environment of its own)"

_TOTALS = re.compile(rb"Link details: total send bytes (\d+), recv bytes (\d+), send actions (\d+), recv actions (\d+)")
_PLACE = re.compile(r"^\s*\[[^]]*\.cc:\d+\](?: \(.*?\)\. )?")
_GONE = re.compile(r"timeout|connect to mesh failed|RpcCall failed|send request failed", re.IGNORECASE)
_COMPLAINT = re.compile(rb"\[(?:error|critical)\] (.*)")
_ANSWERS = "answers"
_SAMPLES = "samples"
_ZERO = "zero"
_NOTHING = np.zeros(1, np.float32)
_CONNECT_INTERVAL_MS = 50


@dataclasses.dataclass(frozen=True)
class DealerAt:
    """Where SEMI2K's dealer answers, and its public key."""

    address: Address
    public_key: str
    """PEM."""


@dataclasses.dataclass(frozen=True)
class Statistics:
    """What one party moved by SPU's own count: without framing, and without the dealer's traffic.

    The kernel counts more: each message has a frame of about 70 bytes, is acknowledged by a message of SPU's own, and
    each of these two by an answer of the RPC library's; together 210 to 250 bytes each way for a message each way.
    """

    bytes_sent: int = 0
    bytes_received: int = 0
    messages_sent: int = 0
    messages_received: int = 0

    @property
    def n_rounds(self) -> int:
        """At the participant: SEMI2K's rounds, in which both send at once, and one more in which it gets the answer.

        For CHEETAH it is a lower bound, as its parties also take turns.
        """
        return max(self.messages_sent, self.messages_received)

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(*(a + b for a, b in zip(self._values, other._values, strict=True)))

    def __sub__(self, other: Statistics) -> Statistics:
        return Statistics(*(a - b for a, b in zip(self._values, other._values, strict=True)))

    @property
    def _values(self) -> tuple[int, ...]:
        return dataclasses.astuple(self)


class SpuEngine:
    """One party's half of the inference; the other party makes the other half and calls the same methods.

    It is not to be closed: SPU's own shutdown ends the process, with code 255, if the peer was faster. The process
    keeps the engine to its own end, by `os._exit`.
    """

    def __init__(
        self,
        rank: int,
        addresses: Sequence[Address],
        network: Network,
        protocol: Protocol = "semi2k",
        dealer: DealerAt | None = None,
        open_once: bool = True,
        labels_only: bool = False,
        fraction_bits: int = 18,
        patience_s: float = 300.0,
    ) -> None:
        """Connect to the peer and share the weights.

        `addresses` are the coordinator's and the participant's, each to listen at its own. `network` has the
        weights at the coordinator, and zeros for them at the participant.

        Without a `dealer`, SEMI2K's coordinator makes the triples itself and could unmask everything: a lower bound
        on the cost, with no privacy. `open_once`: masked weights are opened here and not in every batch (SEMI2K). With
        `labels_only` the participant learns no logits. `patience_s` is how long a silent peer is waited for.

        Raises UnavailableError without SPU, ConfigError for options that do not fit, PeerGone if the peer or the
        dealer does not come.
        """
        if dealer is not None and protocol != "semi2k":
            raise ConfigError(f"protocol={protocol} has no dealer")
        self._libspu, self._spu = import_spu()
        self._rank = rank
        self._network = network
        self._labels_only = labels_only
        self._kept_open = open_once and protocol == "semi2k"
        self._executables: dict[int, Spu] = {}
        self._own = Statistics()
        self._log = _Log.of_process(self._libspu)
        config = _config(self._libspu, protocol, dealer, fraction_bits)
        with _told_plainly(self._log):
            self._link = self._libspu.link.create_brpc(self._description(addresses, patience_s), rank)
            self._io = self._spu.Io(len(addresses), config)
            self._runtime = self._spu.Runtime(self._link, config)
            self._weights = self._share_weights()

    def offline(self, batch_size: int) -> None:
        """Compile for batches of this size: about 0.3 s, and nothing is sent."""
        if batch_size not in self._executables:
            zero = [_NOTHING] if self._kept_open else []
            self._executables[batch_size] = self._compiled(
                jax_network.function(self._network, self._labels_only, with_zero=self._kept_open),
                [self._blank_samples(batch_size), *zero, *jax_network.parameters(self._network)],
                [_SAMPLES, *self._weights],
                _ANSWERS,
            )

    def warm_up(self, batch_size: int) -> None:
        """One inference on zeros that nobody learns the answer of.

        In it CHEETAH makes its base oblivious transfers.
        """
        self._run(self._blank_samples(batch_size))

    def infer(self, batch_size: int, samples: Array | None) -> Array | None:
        """The participant's samples, (batch_size, d) in [0, 1] -> its logits (batch_size, out) or labels (batch_size,).

        The coordinator passes None and gets None. Raises PeerGone, or ProtocolError if the dealer refuses.
        """
        if (samples is None) != (self._rank == COORDINATOR):
            raise ConfigError("the participant has the samples of a batch, and nobody else")
        self._run(self._blank_samples(batch_size) if samples is None else samples)
        with _told_plainly(self._log):
            share = self._runtime.get_var(f"{_ANSWERS}0")
            if self._rank == COORDINATOR:
                self._send(share)
                return None
            answers: Array = self._io.reconstruct([self._receive(), share])
            return answers

    def statistics(self) -> Statistics:
        """Everything since the engine was made."""
        return self._own

    def _description(self, addresses: Sequence[Address], patience_s: float) -> Spu:
        description = self._libspu.link.Desc()
        description.recv_timeout_ms = round(patience_s * 1000)
        # Longer, for where sending times out first, SPU ends the process without a reason.
        description.http_timeout_ms = 2 * description.recv_timeout_ms
        description.connect_retry_interval_ms = _CONNECT_INTERVAL_MS
        description.connect_retry_times = round(patience_s * 1000 / _CONNECT_INTERVAL_MS)
        # What cannot be sent is not tried again, which only delays the news that the peer is gone.
        description.retry_opts.max_retry = 0
        # One connection each way, open until the end: the kernel forgets a socket's count with the socket.
        description.brpc_channel_connection_type = "single"
        for name, (host, port) in zip(("coordinator", "participant"), addresses, strict=True):
            description.add_party(name, f"{host}:{port}")
        return description

    def _share_weights(self) -> list[str]:
        """Give the runtime the weights; returns the names that they, and what comes before them, go by."""
        weights = jax_network.parameters(self._network)
        names = [f"weight{index}" for index in range(len(weights))]
        for name, weight in zip(names, weights, strict=True):
            self._runtime.set_var(name, self._shared(weight) if self._kept_open else self._owned(weight, COORDINATOR))
        if not self._kept_open:
            return names
        self._runtime.set_var(_ZERO, self._shared(_NOTHING))
        opening = self._compiled(jax_network.kept_open, [_NOTHING, *weights], [_ZERO, *names], "kept")
        self._execute(opening)
        kept, products = opening.output_names[: len(names)], opening.output_names[len(names) :]
        for name in (*names, *products):
            self._runtime.del_var(name)
        return [_ZERO, *kept]

    def _shared(self, weight: Array) -> Spu:
        # A value that one party owns becomes a new share in each run, and what was opened of it would be lost.
        if self._rank == PARTICIPANT:
            return self._receive()
        own, peers = self._io.make_shares(weight, self._libspu.VIS_SECRET)
        self._send(peers)
        return own

    def _owned(self, values: Array, owner: int) -> Spu:
        """The part this party has of what `owner` has: nothing is sent, and the other party's part says nothing."""
        return self._io.make_shares(values, self._libspu.VIS_SECRET, owner)[self._rank]

    def _blank_samples(self, batch_size: int) -> Array:
        return np.zeros((batch_size, int(np.prod(self._network.input_shape))), np.float32)

    def _run(self, samples: Array) -> None:
        self.offline(len(samples))
        self._runtime.set_var(_SAMPLES, self._owned(np.ascontiguousarray(samples, np.float32), PARTICIPANT))
        self._execute(self._executables[len(samples)])

    def _execute(self, executable: Spu) -> None:
        with _told_plainly(self._log):
            self._runtime.run(executable)
        self._own += self._log.totals()

    def _compiled(self, function: Callable[..., Any], arguments: Sequence[Array], names: list[str], output: str) -> Spu:
        from jax import ShapeDtypeStruct
        from spu.utils import frontend

        executable, _ = frontend.compile(
            frontend.Kind.JAX,
            function,
            [ShapeDtypeStruct(argument.shape, argument.dtype) for argument in arguments],
            {},
            names,
            [self._libspu.VIS_SECRET] * len(names),
            lambda outputs: [f"{output}{index}" for index in range(len(outputs))],
        )
        return executable

    def _send(self, share: Spu) -> None:
        parts = [share.meta, *share.share_chunks]
        message = struct.pack(f"<{len(parts) + 1}I", len(parts), *map(len, parts)) + b"".join(parts)
        self._link.send_async(1 - self._rank, message)
        self._own += Statistics(bytes_sent=len(message), messages_sent=1)

    def _receive(self) -> Spu:
        message = self._link.recv(1 - self._rank)
        self._own += Statistics(bytes_received=len(message), messages_received=1)
        n_parts, *lengths = struct.unpack_from(f"<{1 + struct.unpack_from('<I', message)[0]}I", message)
        parts, at = [], 4 * (1 + n_parts)
        for length in lengths:
            parts.append(message[at : at + length])
            at += length
        share = self._libspu.Share()
        share.meta, share.share_chunks = parts[0], parts[1:]
        return share


class _Log:
    """What SPU writes of this process, in memory: its Python package has no other way to its counters."""

    _shared: _Log | None = None

    def __init__(self, libspu: Spu) -> None:
        self._file = os.memfd_create("spu")
        options = libspu.logging.LogOptions()
        options.enable_console_logger = False
        options.system_log_path = f"/proc/self/fd/{self._file}"
        libspu.logging.setup_logging(options)

    @classmethod
    def of_process(cls, libspu: Spu) -> _Log:
        """The one log; SPU's logging belongs to the process."""
        if cls._shared is None:
            cls._shared = cls(libspu)
        return cls._shared

    def totals(self) -> Statistics:
        """Of the run that has just ended."""
        return Statistics(*map(int, _TOTALS.findall(self._taken())[-1]))

    def complaint(self) -> str:
        """The last error written, or nothing."""
        found = _COMPLAINT.findall(self._taken())
        return f": {found[-1].decode(errors='replace')}" if found else ""

    def _taken(self) -> bytes:
        written = os.pread(self._file, os.fstat(self._file).st_size, 0)
        os.ftruncate(self._file, 0)
        return written


@contextmanager
def _told_plainly(log: _Log) -> Iterator[None]:
    """SPU raises RuntimeError for all that goes wrong, with the reason among the lines of a stack trace."""
    try:
        yield
    except RuntimeError as error:
        lines = (_PLACE.sub("", line).strip() for line in str(error).splitlines())
        reason = next((line for line in lines if line and line != "what:"), "no reason given") + log.complaint()
        kind = PeerGone if _GONE.search(reason) else ProtocolError
        raise kind(f"SPU stopped: {reason}") from error


def _config(libspu: Spu, protocol: Protocol, dealer: DealerAt | None, fraction_bits: int) -> Spu:
    options: dict[str, Any] = {
        "protocol": protocol.upper(),
        "field": "FM64",
        "fxp_fraction_bits": fraction_bits,
        "max_concurrency": 1,
        # What one party owns enters the computation without being sent.
        "experimental_enable_colocated_optimization": True,
        # At the end of each run SPU then logs what the run moved.
        "enable_pphlo_profile": True,
    }
    if dealer is not None:
        host, port = dealer.address
        options["beaver_type"] = "TrustedThirdParty"
        options["ttp_beaver_config"] = {
            "server_host": f"{host}:{port}",
            "adjust_rank": COORDINATOR,
            "asym_crypto_schema": "SM2",
            "server_public_key": dealer.public_key,
            "transport_protocol": "http",
        }
    config = libspu.RuntimeConfig()
    # As JSON, because the attribute `ttp_beaver_config` cannot be set: pybind11 refuses its holder (spu 0.9.5).
    if not config.ParseFromJsonString(json.dumps(options)):
        raise ConfigError(f"SPU does not take the options {options}")
    return config


def import_spu() -> tuple[Spu, Spu]:
    """(libspu, spu). Raises UnavailableError without SPU."""
    try:
        import spu
        from spu import libspu
    except ImportError as error:
        raise UnavailableError(f"engine=spu needs SecretFlow SPU: {INSTALL}") from error
    return libspu, spu
