"""`ppbench participant`: the participant's side of every run, on a machine of its own, with numpy alone.

The command joins the harness and stays joined. Each run lives in a child process, which ends with the connection to
the harness, whatever it is doing: the harness cannot kill a process on another machine.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ppbench.errors import ConfigError, PeerGone, ProtocolError, UnavailableError, in_range
from ppbench.launch import confine
from ppbench.launch.joining import DEVICE, HARNESS, RunOrder, address, keep_alive, read_token, run_key
from ppbench.launch.output import Output
from ppbench.measure.machine import machine
from ppbench.process import environment, kill_session, module_command, start_session
from ppbench.wire import control, handshake
from ppbench.wire.connection import Connection, wait_readable

_RETRY_S = 0.5
# How soon the end of a run is noticed; more often would cost a small device what is to be measured.
_GLANCE_S = 0.1
_GRACE_S = 0.5
_MOST_LOG_BYTES = 1 << 16


def participate(connect: str, token_file: Path, wait_s: float, index: int | None, tls: bool) -> int:
    """Serve the harness at HOST:PORT until it says that it is over, or is gone for `wait_s`; then the status is 0.

    `index` asks to be that participant; otherwise the harness hands out the next that is free. `tls` is as the harness
    has it in `remote.tls`. Raises ConfigError for a wrong argument or token, UnavailableError if the harness refuses
    this device.
    """
    in_range("--wait-s", wait_s, 0)
    in_range("--index", 0 if index is None else index, 0)
    device = _Device(connect, token_file, index, tls)
    until_s = time.monotonic() + wait_s
    _say(f"waiting for the harness at {connect}")
    while True:
        if connection := device.joined():
            try:
                device.serve(connection)
                _say("the harness says that it is over")
                return 0
            except PeerGone:
                _say("the harness is gone; waiting for it to come back")
            except ProtocolError as error:
                _say(f"nothing usable came from the harness: {error}; waiting for it to come back")
            finally:
                connection.close()
            until_s = time.monotonic() + wait_s
        if time.monotonic() > until_s:
            _say(f"no harness at {connect} for {wait_s:g} s{device.doubt}")
            return 0
        time.sleep(_RETRY_S)


class _Device:
    """The machine that the command runs on."""

    def __init__(self, connect: str, token_file: Path, index: int | None, tls: bool) -> None:
        self._address = address("--connect", connect)
        self._token_file = token_file
        self._token = read_token(token_file)
        self._index = index
        self._tls = ["--tls"] if tls else []
        self._encryption = None
        self.doubt = ""
        """What may be why the harness that answers is none."""
        if tls:
            from ppbench.wire.tls import Encryption

            self._encryption = Encryption()

    def joined(self) -> Connection | None:
        """A connection to the harness, None if it is not there now. Raises ConfigError if it has another token."""
        try:
            harness = handshake.connect(self._address, DEVICE, HARNESS, self._token, self._encryption)
        except PeerGone:
            return None
        except ProtocolError as error:
            if error.__cause__:  # it ended, or is busy, amid the handshake
                self.doubt = f": who answers there breaks off; does it have remote.tls={str(bool(self._tls)).lower()}?"
                return None
            raise ConfigError(f"{error}: is {self._token_file} a copy of the harness's token file?") from error
        keep_alive(harness.socket)
        return harness.connection(authenticated=True)

    def serve(self, connection: Connection) -> None:
        """Run after run, until the harness says that it is over. Raises PeerGone when it is gone."""
        inbox = control.Inbox(connection)
        control.send(connection, "join", {"machine": machine(), "dialled": self._address[0], "index": self._index})
        while True:
            word, tree = inbox.receive()
            if word == "refused":
                reason = tree["reason"] if isinstance(tree, dict) and "reason" in tree else "it does not say why"
                raise UnavailableError(f"the harness refuses this device: {reason}")
            if word == "over":
                return
            if word == "run":
                self._run(inbox, RunOrder.from_tree(tree))
            # An `end` that crossed with the `ended` it asks for needs no answer.

    def _run(self, inbox: control.Inbox, run: RunOrder) -> None:
        """One run in a process of its own. Raises PeerGone if the harness goes away meanwhile."""
        with tempfile.TemporaryDirectory(prefix="ppbench-parties-") as folder:
            output = Output(Path(folder) / "output")
            child = self._launch(run, output, Path(folder))
            try:
                told_to_end = _await_end(child, inbox)
            finally:
                kill_session(child)
            output.settle()
            tail = _tail(output.path)
        lines = tail.strip().splitlines()
        if child.returncode and (lines or not told_to_end):
            _say(f"{' '.join(run.parties)}: {lines[-1] if lines else f'ended with status {child.returncode}'}")
        control.send(inbox.connection, "ended", {"status": child.returncode, "log": tail})

    def _launch(self, run: RunOrder, output: Output, folder: Path) -> subprocess.Popen[bytes]:
        host, port = self._address
        own = folder / "own"
        own.mkdir()
        confined = confine.arguments(own, (self._token_file, folder), "ppbench.launch.host")
        with _as_file(run_key(self._token, run.nonce).hex()) as handle, output.end() as end:
            key = ["--remote", *self._tls, "--connect", f"{host}:{port}", "--token-file", f"/dev/fd/{handle}"]
            return start_session(
                [*module_command("ppbench.launch.confine"), *confined, *key, *run.parties],
                stdin=subprocess.DEVNULL,
                stdout=end,
                stderr=end,
                env=environment(run.threads),
                cwd=own,
                pass_fds=[handle],
            )


def _await_end(child: subprocess.Popen[bytes], inbox: control.Inbox) -> bool:
    """Until the child or the harness ends a run; whether the harness did. Raises PeerGone if that is gone."""
    while child.poll() is None:
        wait_readable([inbox.connection], _GLANCE_S)
        if inbox.arrived():
            with contextlib.suppress(subprocess.TimeoutExpired):  # it may be at its end, or have something to say
                child.wait(_GRACE_S)
            return True
        if inbox.connection.ended:
            raise PeerGone("the harness is gone")
    return False


@contextlib.contextmanager
def _as_file(text: str) -> Iterator[int]:
    """A descriptor that a child reads a short text from; it is never on a disk."""
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "w") as pipe:
            pipe.write(text)
        yield reading
    finally:
        os.close(reading)


def _tail(log: Path) -> str:
    return log.read_bytes()[-_MOST_LOG_BYTES:].decode(errors="replace")


def _say(line: str) -> None:
    print(f"ppbench participant: {line}", flush=True)
