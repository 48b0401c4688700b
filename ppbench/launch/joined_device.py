"""A machine on which participants live, as the harness sees it."""

from __future__ import annotations

import contextlib
import time

from ppbench.bundle import Tree
from ppbench.errors import PeerGone, ProtocolError
from ppbench.launch.joining import RunOrder
from ppbench.process import ending
from ppbench.wire import control
from ppbench.wire.connection import wait_readable

_ENDS_S = 5.0


class JoinedDevice:
    """A machine that has joined, as the harness sees it."""

    def __init__(self, inbox: control.Inbox, said: Tree) -> None:
        """`said` is what it joined with. Raises KeyError if that is not all."""
        self.connection = inbox.connection
        self.machine: Tree = said["machine"]
        self.dialled: str = said["dialled"]
        """The host by which it reaches the harness."""
        self.index: int | None = said["index"]
        """Of the participant that it asks to be; None: any."""
        self.log = ""
        """What its last run wrote, once that has ended."""
        self._inbox = inbox
        self._why_gone = ""
        self._status: int | None = None
        self._runs = False

    def run(self, order: RunOrder, deadline_s: float) -> None:
        """Begin a run. Raises PeerGone, or TimeoutError at `deadline_s` on the monotonic clock."""
        self._runs, self._status, self.log = True, None, ""
        try:
            control.send(self.connection, "run", vars(order), deadline_s)
        except PeerGone as error:
            raise PeerGone(f"{order.parties[0]} was gone with its device before it started") from error

    def say_end(self) -> None:
        """Have the run ended, without waiting."""
        if self._runs:
            with contextlib.suppress(PeerGone, TimeoutError):
                control.send(self.connection, "end", None, time.monotonic() + _ENDS_S)

    def await_end(self) -> None:
        """Wait until the run has ended; a device that does not say so in time is sent away."""
        if self._runs and self.state(_ENDS_S) == "running":
            self.connection.close()

    def state(self, wait_s: float = 0.0) -> str:
        """In a word or two, how the run goes, or how it ended if it does within `wait_s`."""
        self._hear(wait_s)
        if self._status is not None:
            return ending(self._status)
        return f"gone with its device{self._why_gone}" if self.connection.ended else "running"

    def is_here(self) -> bool:
        """Whether it is still connected; one that is not is closed here too."""
        self._hear(0.0)
        if self.connection.ended:
            self.connection.close()
        return not self.connection.ended

    def dismiss(self) -> None:
        """Say that it is over, and close."""
        with contextlib.suppress(PeerGone, TimeoutError):
            control.send(self.connection, "over", None, time.monotonic() + _ENDS_S)
        self.connection.close()

    def _hear(self, wait_s: float) -> None:
        until_s = time.monotonic() + wait_s
        while not self.connection.ended:
            try:
                words = self._inbox.arrived()
                for word, tree in words:
                    if word == "ended":
                        self._end(tree)
            except ProtocolError as error:
                self._why_gone = f" (nothing usable came from it: {error})"
                self.connection.close()
                return
            left_s = until_s - time.monotonic()
            if not self._runs or left_s <= 0:
                return
            wait_readable([self.connection], left_s)

    def _end(self, tree: Tree) -> None:
        match tree:
            case {"status": int(status), "log": str(log)}:
                self._runs, self._status, self.log = False, status, log
            case _:
                raise ProtocolError("it does not say how its run ended")
