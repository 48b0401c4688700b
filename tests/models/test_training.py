"""What the one training loop takes beside samples: distorted images, batch normalisation, a limit on gradients."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from ppbench import bundle
from ppbench.bundle import Array
from ppbench.data.dataset import Dataset, DatasetSource, Split, unit
from ppbench.data.digits import Digits
from ppbench.data.mnist import Mnist
from ppbench.errors import ConfigError, DataError
from ppbench.measure import experiment
from ppbench.measure.job import Job, MeasureOptions
from ppbench.models import local_cnn
from ppbench.models.distortion import affine_grid, distorted
from ppbench.models.local_cnn import LocalCnn
from ppbench.models.mlp import Mlp, dense_relu
from ppbench.models.network import Conv2d, Flatten, Linear, Network, ReLU
from ppbench.models.training import Recipe, fit
from ppbench.progress import silent
from ppbench.report.summary import summary
from schemes.local import Local

RECIPE = Recipe(epochs=1, max_lr=1e-2, min_steps=40)


@dataclasses.dataclass(frozen=True)
class LargeDigits(DatasetSource):
    """The small digits with each pixel four times, 16x16: large enough for three convolutions."""

    name: ClassVar[str] = "large_digits"
    title: ClassVar[str] = "test: digits of 16x16"

    def load(self) -> Dataset:
        digits = Digits().load()

        def enlarged(split: Split) -> Split:
            images = split.samples.reshape(-1, 8, 8).repeat(2, axis=1).repeat(2, axis=2)
            return Split(images.reshape(len(images), -1), split.labels)

        return dataclasses.replace(
            digits,
            name=self.name,
            train=enlarged(digits.train),
            test=enlarged(digits.test),
            sample_shape=(16, 16),
            sha256=f"16x16 {digits.sha256}",
        )


def random() -> np.random.Generator:
    return np.random.default_rng(0)


def weights(network: Network) -> list[Array]:
    return bundle.flatten(network.to_tree())[1]


def accuracy(network: Network, dataset: Dataset) -> float:
    labels = network(unit(dataset.test.samples, dataset.sample_max)).argmax(axis=1)
    return float((labels == dataset.test.labels).mean())


def test_distortion_moves_every_image_by_itself() -> None:
    images = torch.zeros(3, 28, 28)
    images[:, 10:18, 10:18] = 1
    moved = distorted(images, 1.0, random())
    assert moved.shape == images.shape
    assert not torch.equal(moved[0], moved[1])
    assert not torch.equal(moved[0], images[0])
    # Nothing leaves the picture, and nothing is made brighter.
    assert 0 <= moved.min() <= moved.max() <= 1
    assert 0.7 < moved.sum() / images.sum() < 1.4
    assert distorted(images, 0.0, random()) is images


def test_an_affine_grid_is_torchs() -> None:
    maps = torch.from_numpy(random().normal(size=(3, 2, 3)).astype(np.float32))
    expected = torch.nn.functional.affine_grid(maps, [3, 1, 9, 14], align_corners=False)
    torch.testing.assert_close(affine_grid(maps, 9, 14), expected)


def test_what_augments_sees_each_batch_as_floats_and_decides_what_is_learnt() -> None:
    digits, seen = Digits().load(), []
    untrained = Network((64,), dense_relu((64, 10), random())[:-1])

    def blank(batch: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
        seen.append((batch.shape[1], float(batch.max())))
        return torch.full_like(batch, generator.random())

    plain, blind = (
        fit(untrained, digits.training, RECIPE, random(), silent, what="", augment=a) for a in (None, blank)
    )
    assert len(seen) == 42
    assert set(seen) == {(64, 1.0)}
    assert accuracy(plain, digits) > 0.5 > 0.2 > accuracy(blind, digits)


def test_a_gradient_larger_than_the_limit_is_scaled_down() -> None:
    digits = Digits().load()
    untrained = Network((64,), dense_relu((64, 10), random())[:-1])

    def moved(largest: float) -> float:
        recipe = dataclasses.replace(RECIPE, largest_gradient=largest, weight_decay=0)
        trained = fit(untrained, digits.training, recipe, random(), silent, what="")
        return max(float(np.abs(a - b).max()) for a, b in zip(weights(trained), weights(untrained), strict=True))

    # Adam divides by the size of the gradients, but never by less than 1e-8.
    assert moved(1e-9) < moved(1e9) / 10
    with pytest.raises(ConfigError, match="largest_gradient=0 must be"):
        Recipe(1, 1e-3, largest_gradient=0)


def test_batch_normalisation_is_trained_and_then_a_part_of_the_convolution() -> None:
    digits = Digits().load()
    layers = (Conv2d.initial(1, 4, 3, random()), ReLU(), Flatten(), Linear.initial(144, 10, random()))
    untrained = Network((1, 8, 8), layers)
    plain, normalised = (
        fit(untrained, digits.training, dataclasses.replace(RECIPE, batch_norm=norm), random(), silent, what="")
        for norm in (False, True)
    )
    assert normalised.shapes == plain.shapes
    assert np.abs(weights(normalised)[0] - weights(plain)[0]).max() > 0.1
    assert accuracy(normalised, digits) > 0.8


def test_the_network_for_a_device_has_the_size_that_it_says() -> None:
    network = local_cnn.architecture((28, 28), 10, random())
    assert network.macs == 207_298
    assert network.shapes[-2:] == ((725,), (10,))
    with pytest.raises(ConfigError, match=r"model=local_cnn takes images.*13 pixels or more.*\(8, 8\).*model=mlp"):
        LocalCnn().train(Digits().load().training, silent)


def test_the_coordinators_model_is_one_and_the_devices_another(tmp_path: Path) -> None:
    """The labels of the device are its own network's; agreement compares them with the coordinator's model."""
    job = Job(
        Local(model="local_cnn"), LargeDigits(), Mlp(hidden=(16,), epochs=5), measure=MeasureOptions(repetitions=1)
    )
    record = experiment.run(job, tmp_path)
    assert record.status == "ok", record.reason
    row = summary([record]).iloc[0]
    assert (row.scheme, row.variant, row.model) == ("local", "model=local_cnn", "mlp")
    assert row.accuracy >= 0.97
    assert row.accuracy_plaintext < row.accuracy
    assert row.agreement < 1
    assert row.up_message_bytes_per_sample == 1


def test_a_device_whose_network_cannot_take_the_samples_is_refused(tmp_path: Path) -> None:
    record = experiment.run(Job(Local(model="local_cnn"), Digits(), Mlp(epochs=1)), tmp_path)
    assert record.status == "failed"
    assert "model=local_cnn takes images of shape (height, width)" in record.reason


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_on_mnist_the_network_for_a_device_is_as_good_as_promised() -> None:
    try:
        dataset = Mnist().load()
    except DataError as error:
        pytest.skip(str(error))
    from ppbench.measure.load import trained

    assert accuracy(trained(LocalCnn(), dataset.training, silent).network, dataset) >= 0.993
