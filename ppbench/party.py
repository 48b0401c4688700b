"""A party as its role sees it: channels to the others, the facts of the task, and where results go."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NoReturn

import numpy as np

from ppbench.bundle import Array
from ppbench.errors import ConfigError, PeerGone, ProtocolError, UnavailableError, unknown
from ppbench.scheme import COORDINATOR, PARTICIPANT, Batch, TaskFacts
from ppbench.wire import engine
from ppbench.wire.channel import Channel, CriticalPath, View
from ppbench.wire.connection import wait_readable
from ppbench.wire.message import Message


def participant_name(index: int) -> str:
    """The name of the participant with this index."""
    return f"{PARTICIPANT}-{index}"


def role_of(name: str) -> str:
    """The role of a party: `participant-7` plays `participant`; every other name is its role's."""
    return PARTICIPANT if name.startswith(f"{PARTICIPANT}-") else name


class Leaving(BaseException):
    """What `Party.leave` raises: no error, so that a role that handles errors does not stay by accident."""


class Party:
    """What a role may use. There is no other way out of it."""

    def __init__(
        self,
        name: str,
        task: TaskFacts,
        channels: Mapping[str, Channel],
        path: CriticalPath,
        view: View | None,
        own_process: bool,
        hosts: Mapping[str, str],
        opens_sockets: bool = False,
    ) -> None:
        self.name = name
        self.task = task
        self.rng = np.random.default_rng([task.seed, zlib.crc32(name.encode())])
        """For what need not be secret: the job's seed and the party's name decide what it draws."""
        self.channels = channels
        self.path = path
        self.view = view
        self.answered: Array | None = None
        self.logits: Array | None = None
        self.guess: Array | None = None
        self.engine_bytes: int | None = None
        self.published: dict[str, Array] = {}
        """What the harness has not been handed yet; it is at the end of each stage, and of each training round."""
        self.training: Callable[[int | None], None] | None = None
        """For the harness: who is told in `train` of the end of a training round."""
        self.uses_engine = False
        self._own_process = own_process
        self._hosts = hosts
        self._opens_sockets = opens_sockets
        self.released = False
        self._batch: Batch | None = None
        self._owner: str | None = None

    @property
    def index(self) -> int:
        """A participant's number from 0 on; 0 for every other party."""
        return int(self.name.rpartition("-")[2]) if role_of(self.name) == PARTICIPANT else 0

    @property
    def coordinator(self) -> Channel:
        """The channel to the coordinator."""
        return self.to(COORDINATOR)

    @property
    def participants(self) -> list[Channel]:
        """The channels to all participants, by index; those that dropped out have `connection.ended`."""
        return [self.channels[participant_name(i)] for i in range(self.task.n_participants)]

    @property
    def participant(self) -> Channel:
        """The channel to the owner of the batch in hand, or to the only participant."""
        if self._owner is not None:
            return self.channels[self._owner]
        if self.task.n_participants > 1:
            raise ConfigError("outside the online stage say which participant: party.to('participant', index)")
        return self.to(PARTICIPANT)

    def to(self, role: str, index: int = 0) -> Channel:
        """The channel to one party. Raises ConfigError if there is none."""
        name = participant_name(index) if role == PARTICIPANT else role
        if name not in self.channels:
            raise unknown(f"channel from {self.name}", name, self.channels)
        return self.channels[name]

    def receive_any(self, among: str | Sequence[Channel], timeout_s: float | None = None) -> tuple[Channel, Message]:
        """The first message from any living party of a role, or of some channels, and its channel.

        Raises TimeoutError after `timeout_s`, PeerGone when none of them is left.
        """
        if isinstance(among, str):
            among = [channel for name, channel in self.channels.items() if role_of(name) == among]
        while living := _living(among):
            by_connection = {channel.connection: channel for channel in living}
            ready = wait_readable(by_connection, timeout_s)
            if not ready:
                raise TimeoutError(f"no message from {', '.join(c.peer for c in living)} within {timeout_s} s")
            for connection in ready:
                channel = by_connection[connection]
                if channel.arrived():
                    return channel, channel.receive_message()
        raise PeerGone("nobody is left to receive from")

    def requests(self, *roles: str) -> Iterator[tuple[Channel, Message]]:
        """For `serve`: every message from parties of these roles, as it comes, until the harness releases."""
        among = [channel for name, channel in self.channels.items() if role_of(name) in roles]
        while not self.released and (living := _living(among)):
            by_connection = {channel.connection: channel for channel in living}
            for connection in wait_readable(by_connection, timeout_s=0.05):
                channel = by_connection[connection]
                while channel.arrived():
                    message = channel.receive_message()
                    # Requests of other batches and peers do not lead up to this one.
                    self.path.depth = message.round
                    yield channel, message

    def answer(self, labels: Array, logits: Array | None = None) -> None:
        """Hand the labels of the batch in hand, (n,) integers, to the harness; the owner does so once a batch.

        A participant that learns the logits, (n, classes), hands them over too: the harness holds them against the
        model's own and keeps the largest difference alone, because raw decryptions are not to be published.
        """
        labels = _plain(f"{self.name} answers labels", labels)
        if self._batch is None or self._owner != self.name:
            raise ProtocolError(f"{self.name} answers a batch that is not its own")
        if labels.shape != (self._batch.size,) or labels.dtype.kind not in "ui":
            raise ProtocolError(
                f"{self.name} answers {labels.dtype} {labels.shape} for a batch of {self._batch.size}: "
                f"({self._batch.size},) integers are needed"
            )
        if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < self.task.n_classes:
            raise ProtocolError(f"{self.name} answers a label outside 0..{self.task.n_classes - 1}")
        due = (self._batch.size, self.task.n_classes)
        self.logits = None if logits is None else _reals(f"{self.name} answers logits", logits, due)
        self.answered = labels.astype(np.int64)

    def reconstructed(self, samples: Array) -> None:
        """Say what this party takes the clear samples of the batch in hand for, (n, d) reals in [0, 1] or near it.

        For a scheme whose coordinator reconstructs samples in order to classify them: the harness holds them against
        the owner's and keeps the mean squared error alone.
        """
        if self._batch is None:
            raise ProtocolError(f"{self.name} reconstructs samples where no batch is in hand")
        due = (self._batch.size, self.task.dimension)
        self.guess = _reals(f"{self.name} reconstructs samples", samples, due).astype(np.float32)

    def publish(self, name: str, result: Array) -> None:
        """Hand a result that is no answer, such as a released table, to the harness; a name's last one counts."""
        self.published[name] = _plain(f"{self.name} publishes '{name}'", result)

    def leave(self) -> NoReturn:
        """Drop out of the run in good order: its peers find their channels ended, and nothing of the role runs on.

        For a participant whose scheme's card has `tolerates_dropouts`; without it the job fails. To the others it is
        as if the participant had died: what it answered and spent in this stage is lost, and what it exchanged is as
        its peers counted it.
        """
        raise Leaving

    def round_ended(self, number: int | None = None) -> None:
        """Say in `train` that a training round ends here, so that it is on record by itself.

        What this party computed, exchanged and published since the round before becomes the round's, and the scheme's
        `score` is asked what the published is worth. Rounds are numbered from 0, and this is the next one unless
        `number` says otherwise: a party that sits out some rounds names the one that it took part in.

        The party says it, and not the harness when it would call a stage once a round: a role's `train` reads like its
        paper, with its loop in it, and no party waits at a barrier for others that its protocol does not wait for.

        Raises ProtocolError outside of `train`, and for a number that is not above the last.
        """
        if self.training is None:
            raise ProtocolError(f"{self.name} ends a training round outside of train")
        self.training(number)

    def observe(self, name: str, array: Array) -> None:
        """Put into the view what this party sees but no channel shows, such as what an engine received."""
        if self.view is not None:
            self.view.add(self.name, name, (np.asarray(array),))

    def engine(self, *peers: Channel, listener: str | None = None) -> tuple[str, int]:
        """(host, port) where the engines of this party and of `peers` may meet; each of them calls it for the others.

        The engine of the party named `listener` is to listen there, or, without a name, that of the first by name.
        From then on all TCP connections of this process that are not channels are counted as the engine's.
        Raises ConfigError for a role that does not say `opens_sockets`, UnavailableError where they cannot be counted.
        """
        if not self._opens_sockets:
            raise ConfigError(f"{self.name} has an engine, and its role does not say opens_sockets = True")
        if not self._own_process:
            raise UnavailableError(
                "an engine's sockets can be told from others' only in a process of its own: wire=tcp"
            )
        engine.check_available()
        for peer in peers:
            if peer.peer not in self._hosts:
                raise UnavailableError(f"{self.name}'s engine cannot call {peer.peer} on its own machine: wire=tcp")
        self.uses_engine = True
        by_name = {peer.peer: peer for peer in peers}
        listener = listener or min(self.name, *by_name)
        if self.name == listener:
            port = engine.reserve_port(self._hosts[self.name])
            for peer in peers:
                peer.send("engine", np.uint16(port))
            return self._hosts[self.name], port
        return self._hosts[listener], int(by_name[listener].receive("engine"))

    def count_rounds(self, n_rounds: int) -> None:
        """Rounds of the batch or stage in hand that an engine made over its own sockets, where no channel sees them."""
        self.path.depth += n_rounds

    def count_engine_bytes(self, n_bytes: int) -> None:
        """What an engine says of itself that it sent and received since last asked: shown beside the kernel's count."""
        self.engine_bytes = (self.engine_bytes or 0) + n_bytes

    @property
    def channel_cpu_s(self) -> float:
        """For the harness: CPU time spent in all channels since their clocks were last set to zero."""
        return sum(channel.cpu_ns for channel in self.channels.values()) / 1e9

    def begin(self, owner: str, batch: Batch) -> None:
        """For the harness: the next batch is in hand."""
        self._owner, self._batch, self.answered, self.logits, self.guess = owner, batch, None, None, None
        self.path.depth = 0

    def end(self) -> None:
        """For the harness: no batch is in hand."""
        self._owner = self._batch = None


def _plain(what: str, given: Array) -> Array:
    """An array of plain values. Raises ProtocolError for anything else."""
    try:
        array = np.asarray(given)
    except ValueError:
        raise ProtocolError(f"{what} that are no array: rows of different lengths") from None
    if array.dtype.hasobject:
        raise ProtocolError(f"{what} as Python objects ({type(given).__name__}), where an array of plain values is due")
    return array


def _reals(what: str, given: Array, shape: tuple[int, ...]) -> Array:
    """Finite reals of this shape, float64. Raises ProtocolError for anything else."""
    array = _plain(what, given)
    if array.shape != shape or array.dtype.kind not in "uif":
        raise ProtocolError(f"{what} {array.dtype} of shape {array.shape} where real numbers {shape} are due")
    if not (finite := np.isfinite(array)).all():
        raise ProtocolError(f"{what} of which {int((~finite).sum())} of {array.size} are not finite")
    return array.astype(np.float64)


def _living(channels: Sequence[Channel]) -> list[Channel]:
    return [channel for channel in channels if channel.connection.has_frame or not channel.connection.ended]
