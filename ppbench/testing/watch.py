"""What role code does to the process it runs in: state it changes, sockets and files it opens."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

_SOCKET_EVENTS = {"socket.connect", "socket.bind", "socket.sendto"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
_NOBODY_ELSES = ("/dev/null", "/proc/self/")
"""Where writing leaves nothing that another process finds."""
# Torch's random generator is not among the state: building any of its modules draws from it.
_TORCH_DTYPE = "torch's default dtype"
_TORCH_SETS = {"TORCHINDUCTOR_CACHE_DIR"}
"""Environment variables that torch sets when an optimizer takes its first step."""


def global_state() -> dict[str, str]:
    """What all code in a process shares, as texts by name."""
    generator = np.random.get_state(legacy=False)
    handlers = {number.name: repr(signal.getsignal(number)) for number in signal.valid_signals() if _named(number)}
    state = {
        "the state of random": _digest(repr(random.getstate())),
        "the state of numpy.random": _digest(generator["state"]["key"].tobytes() + bytes(str(generator), "utf-8")),
        "numpy's error handling": str(np.geterr()),
        "the working directory": os.getcwd(),
        "sys.path": str(sys.path),
        "the signal handlers": str(handlers),
        _TORCH_DTYPE: "torch.float32",
    }
    state |= {
        f"the environment variable {name}": value for name, value in os.environ.items() if name not in _TORCH_SETS
    }
    if (torch := sys.modules.get("torch")) and hasattr(torch, "get_default_dtype"):
        state[_TORCH_DTYPE] = str(torch.get_default_dtype())
    return state


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The names of what differs."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def open_sockets() -> dict[str, int]:
    """The sockets that this process holds, those of native code too: kernel's name -> descriptor; {} without /proc."""
    held = {}
    with contextlib.suppress(OSError):
        for link in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                target = os.readlink(link)
                if target.startswith("socket:"):
                    held[target] = int(link.name)
    return held


class Audit:
    """Hears of sockets and files that Python code outside the harness opens, until the process ends (PEP 578)."""

    def __init__(self, hidden: Sequence[Path] = ()) -> None:
        self.sockets: list[str] = []
        self.files: list[str] = []
        """Those opened to be written."""
        self.prying: list[str] = []
        """Those opened in `hidden` folders, whether or not there was anything to open."""
        self._hidden = tuple(f"{folder}{os.sep}" for folder in hidden)
        self._own = tuple(f"{folder}{os.sep}" for folder in map(os.path.realpath, (sys.prefix, tempfile.gettempdir())))
        self._host_threads: set[int] = set()
        self._in_role: set[int] = set()
        sys.addaudithook(self._hear)

    @contextlib.contextmanager
    def role(self) -> Iterator[None]:
        """Inside, this thread runs role code; outside, it is the harness's own."""
        thread = threading.get_ident()
        self._host_threads.add(thread)
        self._in_role.add(thread)
        try:
            yield
        finally:
            self._in_role.discard(thread)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _SOCKET_EVENTS and event != "open":
            return
        thread = threading.get_ident()
        if thread in self._host_threads and thread not in self._in_role:
            return
        if event in _SOCKET_EVENTS:
            self.sockets.append(f"{event} {arguments[1]!r}")
        elif isinstance(path := arguments[0], str | bytes | os.PathLike) and not _importing():
            self._hear_of_file(os.path.abspath(os.fsdecode(path)), arguments[2])

    def _hear_of_file(self, path: str, flags: object) -> None:
        if isinstance(flags, int) and flags & _WRITING and not path.startswith(_NOBODY_ELSES):
            self.files.append(path)
        if (target := os.path.realpath(path)).startswith(self._hidden) and not target.startswith(self._own):
            self.prying.append(path)


def _importing() -> bool:
    """Whether the innermost calls come from an import, which may write byte code."""
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
    return False


def _named(number: object) -> bool:
    return isinstance(number, signal.Signals)


def _digest(state: str | bytes) -> str:
    return hashlib.sha256(state.encode() if isinstance(state, str) else state).hexdigest()[:16]
