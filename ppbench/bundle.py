"""Trees of plain values and numpy arrays, as JSON plus raw buffers: on disk and between processes, never pickle."""

from __future__ import annotations

import collections
import contextlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
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

    Raises TypeError, naming the place, for a value that is neither plain nor an array of plain values.
    """
    arrays: list[Array] = []

    def plain(node: Tree, place: str) -> Any:
        if isinstance(node, np.ndarray):
            if node.dtype.hasobject:
                raise TypeError(f"{place}: an array of Python objects could only be pickled")
            arrays.append(np.asarray(node))
            return {_ARRAY: len(arrays) - 1}
        if isinstance(node, np.generic):
            node = node.item()
        if node is None or isinstance(node, bool | int | float | str):
            return node
        if isinstance(node, Mapping):
            for key in node:
                if not isinstance(key, str):
                    raise TypeError(f"{place}: a key is {key!r}; only strings can be kept")
                if key == _ARRAY:
                    raise TypeError(f"{place}: the key {key!r} stands for an array")
            return {key: plain(value, f"{place}.{key}") for key, value in node.items()}
        if isinstance(node, Sequence) and not isinstance(node, bytes | bytearray):
            return [plain(value, f"{place}[{i}]") for i, value in enumerate(node)]
        raise TypeError(f"{place}: {type(node).__name__} is neither a plain value nor a numpy array")

    return json.dumps(plain(tree, "tree")), arrays


def unflatten(skeleton: str, arrays: Sequence[Array]) -> Tree:
    """The tree that `flatten` took apart. Raises ValueError if the two do not belong together."""
    rest = collections.deque(enumerate(arrays))

    def full(node: Any) -> Tree:
        if isinstance(node, dict):
            if _ARRAY in node:
                # In order, and each once: all that `flatten` makes, and nothing that grows on the way.
                if not rest or len(node) > 1 or type(node[_ARRAY]) is not int or node[_ARRAY] != rest[0][0]:
                    raise ValueError(f"the skeleton names {node!r}, which is not the next of {len(arrays)} arrays")
                return rest.popleft()[1]
            return {key: full(value) for key, value in node.items()}
        if isinstance(node, list):
            return [full(value) for value in node]
        return node

    try:
        tree = full(json.loads(skeleton))
    except RecursionError:
        raise ValueError("the skeleton is nested too deep") from None
    if rest:
        raise ValueError(f"the skeleton leaves over {len(rest)} of {len(arrays)} arrays")
    return tree


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


def write_atomically(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write all, in one piece or in several, to a temporary file beside `path`; flush it, then rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):  # an interrupt may come after the rename
            os.unlink(temporary)
        raise
