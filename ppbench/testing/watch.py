"""What role code does to the process it runs in: state it changes, sockets and files it opens."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_SOCKET_EVENTS = {"socket.connect", "socket.bind", "socket.sendto"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
_MEMORY_BACKED = ("/dev/", "/proc/self/")
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


def strayed_children() -> list[str]:
    """Children that left this process's session, so that the harness cannot end them with it."""
    own, strayed = os.getsid(0), []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            name, _, rest = (folder / "stat").read_text().rpartition(")")
            _, parent, _, session = rest.split()[:4]
            if int(parent) == os.getpid() and int(session) != own:
                strayed.append(name.partition("(")[2])
    return strayed


class Audit:
    """Hears of sockets and files that Python code outside the harness opens, until the process ends (PEP 578)."""

    def __init__(self) -> None:
        self.sockets: list[str] = []
        self.files: list[str] = []
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
        elif (path := _written(*arguments)) and not _importing():
            self.files.append(path)


def _written(path: object, mode: object, flags: object) -> str | None:
    if not isinstance(path, str | bytes | os.PathLike) or not isinstance(flags, int) or not flags & _WRITING:
        return None
    text = os.fsdecode(path)
    return None if text.startswith(_MEMORY_BACKED) else text


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
