"""What is costly to make, kept by content: the key is all that decides the result, so nothing is ever stale."""

from __future__ import annotations

import contextvars
import dataclasses
import hashlib
import importlib.util
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ppbench import bundle
from ppbench.bundle import Tree

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


def code(*modules: str) -> str:
    """Hash of the source of some modules: what was made by other code is made again."""
    sources = b""
    for module in modules:
        spec = importlib.util.find_spec(module)
        if spec and spec.origin:
            sources += Path(spec.origin).read_bytes()
    return hashlib.sha256(sources).hexdigest()[:16]


def path_of(kind: str, key: Mapping[str, Any]) -> Path:
    """Where the entry with this key is kept, or would be."""
    return cache_dir() / kind / f"{digest(key)}.npz"


@dataclasses.dataclass
class Cost:
    """What it took to make an entry from nothing, whether or not parts of it were found in the cache."""

    cpu_s: float = 0.0
    wall_s: float = 0.0

    def add(self, other: Cost) -> None:
        """Charge another entry's cost to this one."""
        self.cpu_s += other.cpu_s
        self.wall_s += other.wall_s


@dataclasses.dataclass(frozen=True)
class Entry:
    """A cached tree and its cost."""

    content: Tree
    cost: Cost


_building: contextvars.ContextVar[Cost | None] = contextvars.ContextVar("building", default=None)


def lookup(kind: str, key: Mapping[str, Any]) -> Entry | None:
    """The entry with this key; None if there is none or its file is damaged (zip checksums are verified)."""
    path = path_of(kind, key)
    if not path.exists():
        return None
    try:
        tree = bundle.load(path)
        entry = Entry(tree["content"], Cost(**tree["cost"]))
    except (ValueError, KeyError, TypeError) as error:
        log.warning("%s: %s; it is made again", path, error)
        return None
    if outer := _building.get():
        outer.add(entry.cost)
    return entry


def cached(kind: str, key: Mapping[str, Any], build: Callable[[], Tree]) -> Entry:
    """The entry with this key, built if it is missing; of two processes that want it at once, one builds."""
    from filelock import FileLock

    if (found := lookup(kind, key)) is not None:
        return found
    path = path_of(kind, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if (found := lookup(kind, key)) is not None:
            return found
        entry = _built(build)
        bundle.save(path, {"key": dict(key), "content": entry.content, "cost": vars(entry.cost)})
        return entry


def _built(build: Callable[[], Tree]) -> Entry:
    cost = Cost()
    token = _building.set(cost)
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    try:
        content = build()
    finally:
        _building.reset(token)
    cost.add(Cost(time.process_time() - cpu_s, time.perf_counter() - wall_s))
    return Entry(content, cost)
