"""Trees of plain values and numpy arrays, as JSON plus raw buffers: on disk and between processes, never pickle."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Tree: TypeAlias = Any
"""None, bool, int, float, str, a numpy array, or a list or str-keyed dict of trees."""

_ARRAY = "\0array"
_SKELETON = "skeleton"


def flatten(tree: Tree) -> tuple[str, list[Array]]:
    """Split a tree into its JSON skeleton and its arrays, in order of appearance.

    Raises TypeError, naming the place, for a value that is neither plain nor an array.
    """
    arrays: list[Array] = []

    def plain(node: Tree, place: str) -> Any:
        if isinstance(node, np.ndarray):
            arrays.append(node)
            return {_ARRAY: len(arrays) - 1}
        if isinstance(node, np.generic):
            return node.item()
        if node is None or isinstance(node, bool | int | float | str):
            return node
        if isinstance(node, Mapping):
            for key in node:
                if not isinstance(key, str):
                    raise TypeError(f"{place}: a key is {key!r}; only strings can be kept")
            return {key: plain(value, f"{place}.{key}") for key, value in node.items()}
        if isinstance(node, Sequence) and not isinstance(node, bytes | bytearray):
            return [plain(value, f"{place}[{i}]") for i, value in enumerate(node)]
        raise TypeError(f"{place}: {type(node).__name__} is neither a plain value nor a numpy array")

    return json.dumps(plain(tree, "tree")), arrays


def unflatten(skeleton: str, arrays: Sequence[Array]) -> Tree:
    """The tree that `flatten` took apart. Raises ValueError if the two do not belong together."""

    def full(node: Any) -> Tree:
        if isinstance(node, dict):
            if _ARRAY in node:
                index = node[_ARRAY]
                if not isinstance(index, int) or not 0 <= index < len(arrays):
                    raise ValueError(f"the skeleton names array {index!r}, of which there are {len(arrays)}")
                return arrays[index]
            return {key: full(value) for key, value in node.items()}
        if isinstance(node, list):
            return [full(value) for value in node]
        return node

    return full(json.loads(skeleton))


def save(path: Path, tree: Tree) -> None:
    """Write a tree as an npz file, atomically: other processes see the whole file or none."""
    skeleton, arrays = flatten(tree)
    buffer = io.BytesIO()
    members = {str(i): array for i, array in enumerate(arrays)}
    np.savez(buffer, **{_SKELETON: np.frombuffer(skeleton.encode(), np.uint8)}, **members)  # type: ignore[arg-type]
    write_atomically(path, buffer.getvalue())


def load(path: Path) -> Tree:
    """Read what `save` wrote. Raises FileNotFoundError, or ValueError if the file is not whole."""
    try:
        with np.load(path, allow_pickle=False) as members:
            skeleton = members[_SKELETON].tobytes().decode()
            arrays = [members[str(i)] for i in range(len(members.files) - 1)]
        return unflatten(skeleton, arrays)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged zip makes numpy and zipfile raise almost anything
        raise ValueError(f"{path} is damaged ({type(error).__name__}: {error})") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary file beside `path`, flush it to disk, then rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
