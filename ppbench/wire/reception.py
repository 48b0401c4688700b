"""Who knocks at a listening socket is heard beside all others: nobody waits for a stranger to say something.

A stranger can connect and stay silent as often as he likes. Each has a deadline of his own; of more than a bounded
number the one that has been silent the longest goes, first among those of the address that has too many.
"""

from __future__ import annotations

import collections
import dataclasses
import errno
import select
import socket
import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ppbench.errors import PeerGone, ProtocolError
from ppbench.wire.handshake import Conversation, Introduced, KeyOf, listening

if TYPE_CHECKING:
    from ppbench.wire.tls import Certificate

TIMEOUT_S = 5.0
"""How long one who connects is heard."""
_STRANGERS_PER_ADDRESS = 32
"""So many beside those who are awaited, all of whom may come at once and from one address."""
_ADDRESSES = 4
"""As many times that in all."""
_MOST_COMPLAINTS = 20


@dataclasses.dataclass(eq=False)
class _Guest:
    """One who has connected and not proven a name yet."""

    socket: socket.socket
    host: str
    conversation: Conversation
    until_s: float


class Reception:
    """Hears all who connect to a listening socket, at once."""

    def __init__(
        self,
        listener: socket.socket,
        own: str,
        key_of: KeyOf,
        n_awaited: int,
        certificate: Certificate | None = None,
        refused: Callable[[str, str], None] | None = None,
    ) -> None:
        """`key_of` is asked for the key of each name; `refused` is told the host of a stranger, and why he went."""
        listener.setblocking(False)
        self._listener = listener
        self._own = own
        self._key_of = key_of
        self._most_per_address = n_awaited + _STRANGERS_PER_ADDRESS
        self._certificate = certificate
        self._refused = refused or _complain
        self._n_refused = 0
        self._guests: dict[int, _Guest] = {}
        """By descriptor, in the order in which they came."""

    def admit(self, wait_s: float | None, also: Iterable[socket.socket] = ()) -> tuple[str, Introduced] | None:
        """Who is the first to prove a name, and from which host; None if nobody is within `wait_s`.

        It returns as soon as something comes on one of the sockets in `also`, too.
        """
        others = {sock.fileno() for sock in also}
        until_s = None if wait_s is None else time.monotonic() + wait_s
        while True:
            ready = self._ready(others, until_s)
            self._dismiss_late()
            for handle in ready:
                if (guest := self._guests.get(handle)) and (admitted := self._hear(guest)):
                    return guest.host, admitted
            # One at a time: who has come and is quick goes before those who only come.
            if self._listener.fileno() in ready:
                self._greet()
            if others.intersection(ready) or (until_s is not None and time.monotonic() >= until_s):
                return None

    def close(self) -> None:
        """Send away all who are here; the listening socket is its owner's."""
        for guest in list(self._guests.values()):
            self._forget(guest).close()

    def _ready(self, others: Iterable[int], until_s: float | None) -> list[int]:
        """The descriptors on which something has come, waiting for it until then, or until a guest's time is up."""
        deadlines = [guest.until_s for guest in self._guests.values()]
        if until_s is not None:
            deadlines.append(until_s)
        poller = select.poll()
        for handle in (*self._guests, *others, self._listener.fileno()):
            poller.register(handle, select.POLLIN)
        left_s = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
        return [handle for handle, _ in poller.poll(None if left_s is None else 1000 * left_s)]

    def _greet(self) -> None:
        try:
            sock, address = self._listener.accept()
        except OSError as error:  # he has gone again, or no more files can be open
            if error.errno in (errno.EMFILE, errno.ENFILE) and self._guests:
                self._dismiss(next(iter(self._guests.values())), "too many knock")
            return
        # Of a UNIX socket's peer there is no address.
        host = address[0] if isinstance(address, tuple) else ""
        here = collections.Counter(guest.host for guest in self._guests.values())
        if here[host] >= self._most_per_address:
            self._dismiss(next(guest for guest in self._guests.values() if guest.host == host), "too many knock")
        elif len(self._guests) >= self._most_per_address * _ADDRESSES:
            self._dismiss(next(iter(self._guests.values())), "too many knock")
        digest = b""
        if self._certificate is not None:
            sock, digest = self._certificate.listening(sock), self._certificate.digest
        conversation = Conversation(sock, listening(self._own, self._key_of, digest))
        self._guests[sock.fileno()] = _Guest(sock, host, conversation, time.monotonic() + TIMEOUT_S)

    def _hear(self, guest: _Guest) -> Introduced | None:
        try:
            if (proven := guest.conversation.advance()) is None:
                return None
        except (ProtocolError, PeerGone, OSError) as error:
            ended = error if isinstance(error, ProtocolError) else f"it ended before it was authenticated ({error})"
            self._dismiss(guest, str(ended))
            return None
        return Introduced(proven[0], self._forget(guest), proven[1])

    def _dismiss_late(self) -> None:
        now_s = time.monotonic()
        for guest in [guest for guest in self._guests.values() if guest.until_s <= now_s]:
            self._dismiss(guest, f"it proved no name within {TIMEOUT_S:g} s")

    def _dismiss(self, guest: _Guest, reason: str) -> None:
        self._forget(guest).close()
        self._n_refused += 1
        if self._n_refused == _MOST_COMPLAINTS:
            reason += "; those who come after it are refused without a word"
        if self._n_refused <= _MOST_COMPLAINTS:
            self._refused(guest.host, reason)

    def _forget(self, guest: _Guest) -> socket.socket:
        return self._guests.pop(guest.socket.fileno()).socket


def _complain(host: str, reason: str) -> None:
    print(f"refused a connection: {reason}", file=sys.stderr)
