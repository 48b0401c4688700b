"""What is costly to make, kept by content: the key is all that decides the result, so nothing is ever stale."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ppbench import bundle
from ppbench.bundle import Tree
from ppbench.errors import PpbenchError
from ppbench.meter import process_cpu_s

log = logging.getLogger(__name__)


def cache_dir() -> Path:
    """`PPBENCH_CACHE`, or the user's cache folder."""
    if folder := os.environ.get("PPBENCH_CACHE"):
        return Path(folder)
    from platformdirs import user_cache_path

    return user_cache_path("ppbench")


def digest(key: Mapping[str, Any]) -> str:
    """16 hex digits of the SHA-256 of a key's canonical JSON."""
    text = json.dumps(key, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def versions(*distributions: str) -> dict[str, str]:
    """The installed versions of some distributions, read from their metadata and not by importing them."""
    return {name: version(name) for name in distributions}


def path_of(kind: str, key: Mapping[str, Any]) -> Path:
    """Where the entry with this key is kept, or would be."""
    return cache_dir() / kind / f"{digest(key)}.npz"


@dataclasses.dataclass(frozen=True)
class MakingCost:
    """What it took to make an entry from nothing, whether or not parts of it were found in the cache."""

    cpu_s: float = 0.0
    wall_s: float = 0.0

    def __add__(self, other: MakingCost) -> MakingCost:
        return MakingCost(self.cpu_s + other.cpu_s, self.wall_s + other.wall_s)

    def __sub__(self, other: MakingCost) -> MakingCost:
        return MakingCost(self.cpu_s - other.cpu_s, self.wall_s - other.wall_s)


@dataclasses.dataclass(frozen=True)
class Entry:
    """A cached tree and its cost."""

    content: Tree
    cost: MakingCost


_nested: contextvars.ContextVar[list[MakingCost] | None] = contextvars.ContextVar("nested", default=None)
"""While an entry is built: what is to be added to the cost measured, for each entry that its build asked for."""


def lookup(kind: str, key: Mapping[str, Any]) -> Entry | None:
    """The entry with this key; None if there is none or its file is damaged (zip checksums are verified)."""
    path = path_of(kind, key)
    try:
        tree = bundle.load(path)
        return Entry(tree["content"], MakingCost(**tree["cost"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        log.warning("%s: %s; it is made again", path, error)
        return None


def cached(kind: str, key: Mapping[str, Any], build: Callable[[], Tree]) -> Entry:
    """The entry with this key, built if it is missing; of two processes that want it at once, one builds.

    A build may ask for other entries: its own cost holds theirs in full, found or made. Raises PpbenchError if the
    cache cannot be written.
    """
    start = _now()
    entry = lookup(kind, key) or _made(kind, key, build)
    if (nested := _nested.get()) is not None:
        nested.append(entry.cost - (_now() - start))
    return entry


def _made(kind: str, key: Mapping[str, Any], build: Callable[[], Tree]) -> Entry:
    from filelock import FileLock

    path = path_of(kind, key)
    with _writable():
        path.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(f"{path}.lock").acquire()
    with held:
        if (found := lookup(kind, key)) is not None:
            return found
        entry = _built(build)
        with _writable():
            bundle.save(path, {"key": dict(key), "content": entry.content, "cost": vars(entry.cost)})
        return entry


@contextlib.contextmanager
def _writable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise PpbenchError(
            f"the cache folder {cache_dir()} cannot be written ({reason}): PPBENCH_CACHE names another"
        ) from error


def unwritable() -> str | None:
    """What keeps the cache from being written, in one line; None if nothing does."""
    try:
        with _writable():
            cache_dir().mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=cache_dir()).close()
    except PpbenchError as error:
        return str(error)
    return None


def _built(build: Callable[[], Tree]) -> Entry:
    nested: list[MakingCost] = []
    token = _nested.set(nested)
    start = _now()
    try:
        content = build()
    finally:
        _nested.reset(token)
    return Entry(content, sum(nested, _now() - start))


def _now() -> MakingCost:
    return MakingCost(process_cpu_s(), time.perf_counter())
