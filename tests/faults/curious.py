"""A scheme that works, and whose participant tries which files it may read, and in which folders it may write."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import socket
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ppbench.bundle import Tree
from ppbench.party import Party
from ppbench.scheme import Role
from tests.broken.sound import Participant, Sound, roles


class Trying(Participant):
    """Publishes how far it came."""

    opens_sockets = True

    def setup(self, party: Party, artifacts: Tree) -> None:
        super().setup(party, artifacts)
        tries: dict[str, list[Callable[[], object]]] = {
            "read": [Path(path).read_bytes for path in self.scheme.files],
            "written": [partial(_write, folder) for folder in (*self.scheme.folders, tempfile.gettempdir())],
            "reached": [_signal_the_harness, partial(_connect, self.scheme.socket), _share_memory],
        }
        for what, actions in tries.items():
            party.publish(what, np.array([_succeeds(action) for action in actions]))


def _succeeds(action: Callable[[], object]) -> bool:
    with contextlib.suppress(OSError):
        action()
        return True
    return False


def _write(folder: str) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"a sample")


def _signal_the_harness() -> None:
    os.kill(os.getppid(), 0)


def _connect(name: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(f"\0{name}")


def _share_memory() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if (segment := libc.shmget(0, 1, 0o600)) < 0:
        raise OSError(ctypes.get_errno(), "shmget")
    libc.shmctl(segment, 0, None)  # IPC_RMID


@dataclasses.dataclass(frozen=True)
class Curious(Sound):
    """Reads `files`, writes into `folders` and at last into its own for temporary files, signals the harness, connects
    to an abstract `socket` and makes memory that others can share: each where it can.
    """

    name: ClassVar[str] = "curious"
    roles: ClassVar[Mapping[str, type[Role[Any]]]] = roles(Trying)
    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    socket: str = ""

    def prepare_key(self, facts: Any) -> Mapping[str, Any]:
        """Nothing that is prepared depends on an option."""
        return {}
