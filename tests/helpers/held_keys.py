"""Whether a party holds a secret key, and whether one crossed the wire: of schemes whose parties tell it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ppbench import bundle
from ppbench.records import JobRecord

KEY = "secret key"
HOLDS_KEY = "holds a secret key"


def holds(thing: Any, is_key: Callable[[Any], bool | None], depth: int) -> bool:
    """Whether an object, or what it holds on its attributes, is a key; where `is_key` says None, it looks inside."""
    told = is_key(thing)
    if told is not None:
        return told
    return depth > 0 and any(holds(held, is_key, depth - 1) for held in _held(thing))


def _held(thing: Any) -> Iterator[Any]:
    if isinstance(thing, list | tuple):
        yield from thing
    elif isinstance(thing, dict):
        yield from thing.values()
    elif type(thing).__module__.startswith(("schemes.", "tests.")):
        yield from vars(thing).values()


def gave_its_key_away(record: JobRecord, folder: Path, parts_of: Callable[[bytes], list[bytes]]) -> bool:
    """Whether any part of the participant's key stands in a message to the coordinator, who holds one if so."""
    views = {path.stem: bundle.load(path) for path in (folder / record.folder / "views").iterdir()}
    (key,) = [entry["arrays"][0].tobytes() for entry in views["participant-0"] if entry["name"] == KEY]
    has_key = [bool(entry["arrays"][0]) for entry in views["coordinator"] if entry["name"] == HOLDS_KEY]
    assert has_key
    messages = [
        array.tobytes() for entry in views["coordinator"] if entry["name"] != HOLDS_KEY for array in entry["arrays"]
    ]
    parts = parts_of(key)
    assert parts
    shown = any(part in message for part in parts for message in messages)
    assert shown == any(has_key)
    return shown
