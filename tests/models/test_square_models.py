"""The networks with squares: their shapes, their training and the limits on what they put out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ppbench import bundle
from ppbench.data.dataset import Dataset, Split, unit
from ppbench.data.digits import Digits
from ppbench.data.mnist import Mnist
from ppbench.errors import ConfigError, DataError
from ppbench.models.network import Network
from ppbench.models.square import CryptoNetsModel, SquareTutorial
from ppbench.progress import silent

MODELS = [SquareTutorial, CryptoNetsModel]


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return Digits().load()


def accuracy(network: Network, split: Split, sample_max: float) -> float:
    return float((network(unit(split.samples, sample_max)).argmax(axis=1) == split.labels).mean())


def largest_logit(network: Network, dataset: Dataset) -> float:
    return max(
        float(np.abs(network(unit(split.samples, dataset.sample_max))).max()) for split in (dataset.train, dataset.test)
    )


def test_shapes_are_the_published_ones() -> None:
    tutorial = SquareTutorial().architecture((28, 28), 10)
    assert tutorial.shapes == ((1, 28, 28), (4, 8, 8), (4, 8, 8), (256,), (64,), (64,), (10,))
    cryptonets = CryptoNetsModel().architecture((28, 28), 10)
    assert cryptonets.shapes == ((1, 28, 28), (5, 13, 13), (5, 13, 13), (845,), (100,), (100,), (10,))


@pytest.mark.parametrize("model", MODELS)
def test_samples_that_do_not_fit_are_refused(model: Any) -> None:
    with pytest.raises(ConfigError, match="kernel"):
        model().check((2, 28))
    with pytest.raises(ConfigError, match=r"takes images of shape \(height, width\), not \(104,\)"):
        model().check((104,))


@pytest.mark.parametrize(
    ("option", "value"),
    [("seed", -1), ("distortion", -0.1), ("logit_limit", 0.5), ("epochs", 0)],
)
def test_options_out_of_range_are_refused(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=option):
        SquareTutorial(**{option: value})  # type: ignore[arg-type]


def test_it_learns_and_the_same_seed_gives_the_same_weights(digits: Dataset) -> None:
    first, second = (CryptoNetsModel().train(digits.training, silent) for _ in range(2))
    assert accuracy(first, digits.test, digits.sample_max) > 0.9
    pairs = zip(*(bundle.flatten(network.to_tree())[1] for network in (first, second)), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


def test_a_limit_scales_logits_and_leaves_labels(digits: Dataset) -> None:
    wide, narrow = (CryptoNetsModel(logit_limit=limit).train(digits.training, silent) for limit in (1000.0, 5.0))
    samples = unit(digits.train.samples, digits.sample_max)
    assert np.abs(wide(samples)).max() > 6
    assert np.abs(narrow(samples)).max() == pytest.approx(5, rel=1e-4)
    assert np.array_equal(wide(samples).argmax(axis=1), narrow(samples).argmax(axis=1))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("model", "least", "limit"), [(SquareTutorial, 0.989, 16), (CryptoNetsModel, 0.992, 64)])
def test_on_mnist_they_are_as_good_as_promised(model: Any, least: float, limit: float) -> None:
    try:
        dataset = Mnist().load()
    except DataError as error:
        pytest.skip(str(error))
    from ppbench.measure.load import trained

    network = trained(model(), dataset.training, silent).network
    assert accuracy(network, dataset.test, dataset.sample_max) >= least
    assert largest_logit(network, dataset) <= limit
