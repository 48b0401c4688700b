"""Authenticated framing: what crosses a network that others can read and change arrives as it was sent, or not at all.

Keys. Harness and devices hold one secret, the token; nothing below it is ever sent, each end derives it:

    token                                           32 bytes from the operating system, in a file
    run key   = derive(token, "run", nonce)         one for each run; the harness chooses the nonce
    pair key  = derive(run key, "pair", names)      one for each two parties
    transcript = both nonces, both names, certificate     of one connection: see `handshake`
    frame key = derive(pair key, direction, transcript)   one for each direction of each connection

where `derive` is HKDF-Expand (RFC 5869) of one block, with HMAC-SHA256. A connection to the harness has the run key (a
party's) or the token (a device's) for a pair key.

Frames. In each direction the frames of a connection are numbered from 0 on. Frame i is followed by a tag, 16 bytes: the
first of

    HMAC-SHA256(frame key, i as 8 bytes | the frame with its size)

A receiver checks the tag before it looks at anything but the size, and takes nothing more from a connection of which
one tag was wrong. Tags are counted apart from the payload, which stays what the scheme sends.

An active adversary without the token can read all that is sent (but for `remote.tls`, see `tls`), and stop or delay it:
it can end a run, never steer it. A frame that it changes, replays, leaves out, reorders, puts in, reflects, cuts short
or carries over from another connection has a wrong number, key or content, and passes with a probability of 2^-128.
Frames held back at the end of a connection are noticed by who awaits them: no run ends well without its last word.
Parties of a run hold one run key, and so are not protected from each other: they are honest but curious. A token that
becomes known later betrays nothing of what was encrypted, and lets nobody into a connection that has been made.

Within one machine nothing is tagged: who could change what crosses its loopback could as well read the token there.
"""

from __future__ import annotations

import dataclasses
import hmac
from collections.abc import Iterable

from ppbench.errors import ProtocolError
from ppbench.wire.message import Buffer

KEY_BYTES = 32
TAG_BYTES = 16
_NUMBER_BYTES = 8


def derive(key: bytes, purpose: str, *parts: bytes) -> bytes:
    """A key for one purpose, 32 bytes; other parts make another one, wherever one ends and the next begins."""
    info = b"".join(len(part).to_bytes(4, "big") + part for part in (b"ppbench " + purpose.encode(), *parts))
    return hmac.digest(key, info + b"\x01", "sha256")


class Tags:
    """The tags of the frames in one direction of one connection, in order."""

    def __init__(self, key: bytes) -> None:
        self._keyed = hmac.new(key, digestmod="sha256")
        self.n_frames = 0
        """So many have their tag."""

    def next(self, frame: Iterable[Buffer]) -> bytes:
        """Of the next frame, which is in several buffers."""
        tag = self._keyed.copy()
        tag.update(self.n_frames.to_bytes(_NUMBER_BYTES, "big"))
        for part in frame:
            tag.update(part)
        self.n_frames += 1
        return tag.digest()[:TAG_BYTES]

    def check(self, frame: Iterable[Buffer], tag: Buffer) -> None:
        """Raise ProtocolError unless this is the next frame's tag."""
        number = self.n_frames
        if not hmac.compare_digest(self.next(frame), tag):
            raise ProtocolError(f"frame {number} was changed, replayed, left out, reordered or put in on its way")


@dataclasses.dataclass(frozen=True)
class Authentication:
    """One end's tags, both ways."""

    sending: Tags
    receiving: Tags
