"""Run a module inside namespaces: `python -m ppbench.launch.enter DESCRIPTOR[,DESCRIPTOR...] MODULE [ARGUMENT...]`.

A process enters a user namespace only while it has a single thread, so it does before it imports anything that starts
some. It imports the standard library alone, for any Python from 3.11 on: `os.setns` came with 3.12.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import sys
from pathlib import Path

NEW_USER = 0x10000000
NEW_NETWORK = 0x40000000
_OWN_NETWORK = Path("/proc/thread-self/ns/net")


def enter(descriptor: int) -> None:
    """Move the calling thread, and all that it starts, into an open namespace. Raises OSError."""
    _called("setns", descriptor, 0)


def unshare(kinds: int) -> None:
    """Give the calling thread new namespaces of these kinds. Raises OSError."""
    _called("unshare", kinds)


def open_network() -> int:
    """A descriptor of the calling thread's network namespace, which lasts as long as somebody holds it."""
    return os.open(_OWN_NETWORK, os.O_RDONLY | os.O_CLOEXEC)


def _called(name: str, *arguments: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def main() -> None:
    """Enter, and become the module."""
    descriptors, module, *arguments = sys.argv[1:]
    for descriptor in descriptors.split(","):
        enter(int(descriptor))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
