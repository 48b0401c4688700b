"""The processes that a test has started, found by a mark in their environment."""

from __future__ import annotations

import os
import time
from pathlib import Path


def processes_with(marker: str) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and marker.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def wait_until_gone(marker: str, timeout_s: float = 10.0) -> list[int]:
    end_s = time.monotonic() + timeout_s
    while (left := processes_with(marker)) and time.monotonic() < end_s:
        time.sleep(0.05)
    return left
