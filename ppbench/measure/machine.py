"""The machine this runs on, as the kernel describes it: read with the standard library alone, also on a device."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy as np

import ppbench
from ppbench.bundle import Tree
from ppbench.launch import confine
from ppbench.process import n_cpus

_BOARD = Path("/proc/device-tree/model")


def cpu() -> str:
    """The processor's model name, or the board's, or the architecture where the kernel tells neither."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
        # A 64-bit ARM kernel names no processor, but what it is soldered to.
        return f"{_BOARD.read_text().rstrip(chr(0))} ({platform.machine()})"
    except OSError:
        return platform.processor() or platform.machine()


def memory_bytes() -> int | None:
    """Physical memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def system() -> str:
    """The kernel, its release and the architecture."""
    return f"{platform.system()} {platform.release()} {platform.machine()}"


def machine() -> Tree:
    """What records keep of a party's machine; no host name."""
    return {
        "cpu": cpu(),
        "n_cpus": n_cpus(),
        "memory_bytes": memory_bytes(),
        "platform": system(),
        "python_version": platform.python_version(),
        "numpy_version": np.__version__,
        "ppbench_version": ppbench.__version__,
        "confinement": confine.told(),
    }
