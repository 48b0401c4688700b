"""The networks, what trains them, and the two models and the ObfNet that are built on both."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import nn

from ppbench import bundle
from ppbench.bundle import Array
from ppbench.data.dataset import Dataset, Split, unit
from ppbench.errors import ConfigError
from ppbench.models import lenet, network, training
from ppbench.models.classifier import Classifier
from ppbench.models.lenet import LeNet
from ppbench.models.mlp import Mlp, dense_relu
from ppbench.models.network import (
    AvgPool2d,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    Network,
    ReLU,
    Square,
)
from ppbench.models.torch_modules import SquareModule
from ppbench.progress import silent
from schemes.obfnet.training import train_obfnet


@pytest.fixture(scope="module")
def digits() -> Dataset:
    images, labels = load_digits(return_X_y=True)
    shuffled = random().permutation(len(labels))
    samples, classes = images[shuffled].astype(np.uint8), labels[shuffled].astype(np.uint8)
    return Dataset(
        name="digits",
        train=Split(samples[:1297], classes[:1297]),
        test=Split(samples[1297:], classes[1297:]),
        sample_shape=(8, 8),
        sample_max=16.0,
        n_classes=10,
        sha256="",
        route="scikit-learn",
    )


@pytest.fixture(scope="module")
def classifier(digits: Dataset) -> Network:
    return Mlp().train(digits.training, silent)


def random() -> np.random.Generator:
    return np.random.default_rng(0)


def an_obfnet(*hidden: int) -> Network:
    return Network((784,), dense_relu((784, *hidden, 784), random()))


def accuracy(network: Network, samples: Array, labels: Array) -> float:
    return float((Classifier(network)(samples) == labels).mean())


def weights(network: Network) -> list[Array]:
    return bundle.flatten(network.to_tree())[1]


def same(one: Network, other: Network) -> bool:
    skeletons = {bundle.flatten(n.to_tree())[0] for n in (one, other)}
    return len(skeletons) == 1 and all(map(np.array_equal, weights(one), weights(other)))


def torch_forward(network: Network, samples: Array) -> Array:
    with torch.inference_mode():
        outputs: Array = network.to_torch()(torch.tensor(samples)).numpy()
    return outputs


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Networks of every layer, with sides, strides and pools that leave remainders."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(6, 13), st.integers(6, 13)))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    outputs = draw(st.integers(1, 4))
    generator = np.random.default_rng(draw(st.integers(0, 99)))
    weight = generator.normal(0, 0.3, (outputs, shape[0], *kernel)).astype(np.float32)
    bias = generator.normal(0, 0.3, outputs).astype(np.float32)
    conv = Conv2d(weight, bias, draw(st.integers(1, 3)), draw(st.integers(0, 2)))
    activations: list[Layer] = [ReLU(), Square()]
    side = min(conv.output_shape(shape)[1:])
    pools: list[list[Layer]] = [[], [MaxPool2d(min(2, side))], [AvgPool2d(min(3, side))]]
    flat = Network(shape, (conv, draw(st.sampled_from(activations)), *draw(st.sampled_from(pools)), Flatten()))
    dense = Linear.initial(flat.shapes[-1][0], draw(st.integers(1, 5)), generator)
    return Network(shape, (*flat.layers, dense))


@given(networks(), st.integers(0, 5))
def test_numpy_and_torch_compute_the_same(network: Network, n: int) -> None:
    samples = random().random((n, int(np.prod(network.input_shape))), np.float32)
    outputs = network(samples)
    assert outputs.dtype == np.float32
    assert outputs.shape == (n, *network.shapes[-1])
    np.testing.assert_allclose(outputs, torch_forward(network, samples), atol=1e-4)


@given(networks())
def test_a_network_survives_torch(network: Network) -> None:
    assert same(Network.from_torch(network.to_torch(), network.input_shape), network)


def test_a_network_survives_a_file(tmp_path: Path) -> None:
    before = lenet.architecture(10, random())
    bundle.save(tmp_path / "network.npz", before.to_tree())
    assert same(Network.from_tree(bundle.load(tmp_path / "network.npz")), before)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = random().random((7, 784), np.float32)
    whole = lenet.architecture(10, random())(samples)
    monkeypatch.setattr(network, "_CHUNK_FLOATS", 3 * 25 * 784)
    np.testing.assert_allclose(lenet.architecture(10, random())(samples), whole, atol=1e-6)


def test_sizes_are_the_papers() -> None:
    assert an_obfnet().n_parameters == 615_440
    assert an_obfnet(1000).n_parameters == 1_569_784


def test_multiply_accumulates() -> None:
    assert lenet.architecture(10, random()).macs == 416_520
    assert an_obfnet().macs == 784 * 784
    assert an_obfnet(1000).macs == 1_568_000


def test_an_obfnet_ends_in_relu() -> None:
    outputs = an_obfnet(1000)(random().random((5, 784), np.float32))
    assert outputs.min() == 0


def in_a_fresh_process(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout


def test_a_device_needs_no_torch() -> None:
    script = "import ppbench.models.network, sys; assert 'torch' not in sys.modules"
    in_a_fresh_process(script)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_device_needs_little_memory() -> None:
    script = """
from pathlib import Path
import numpy as np
from ppbench.models import lenet
random = np.random.default_rng(0)
lenet.architecture(10, random)(random.random((2000, 784), np.float32))
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""
    assert int(in_a_fresh_process(script)) < 80 * 1024


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Flatten(), nn.Tanh()),
        nn.Sequential(nn.Conv2d(1, 2, 3, dilation=2), nn.Flatten()),
        nn.Sequential(nn.Conv2d(1, 2, 3, padding="same"), nn.Flatten()),
        nn.Sequential(nn.Conv2d(1, 2, 3, stride=(1, 2)), nn.Flatten()),
        nn.Sequential(nn.MaxPool2d(2, stride=1), nn.Flatten()),
        nn.Sequential(nn.AvgPool2d(3, ceil_mode=True), nn.Flatten()),
        nn.Sequential(nn.BatchNorm2d(1), nn.Flatten()),
        nn.Sequential(nn.Conv2d(1, 2, 3, groups=1, dilation=2, bias=False), nn.Flatten()),
    ],
)
def test_a_layer_that_a_network_cannot_hold_is_named(module: nn.Sequential) -> None:
    culprit = next(child for child in module if not isinstance(child, nn.Flatten))
    with pytest.raises(ConfigError, match=re.escape(repr(culprit))):
        Network.from_torch(module, (1, 8, 8))


def test_batch_normalisation_becomes_a_part_of_the_layer_before_it() -> None:
    module = nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 3, 3, stride=2, bias=False),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(27, 5, bias=False),
        nn.BatchNorm1d(5, affine=False),
    )
    samples = torch.rand(40, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for _ in range(5):
            module(3 * samples + 1)  # in training mode: statistics that differ from 0 and 1
        expected = module.eval()(samples).numpy()
    network = Network.from_torch(module, (1, 8, 8))
    assert [type(layer) for layer in network.layers] == [Conv2d, ReLU, Flatten, Linear]
    assert np.allclose(network(samples.numpy()), expected, atol=1e-5)


def test_nested_modules_are_one_network() -> None:
    module = nn.Sequential(nn.Sequential(nn.Linear(4, 3), SquareModule()), nn.ReLU())
    kinds = [type(layer) for layer in Network.from_torch(module, (4,)).layers]
    assert kinds == [Linear, Square, ReLU]


@pytest.mark.parametrize(
    ("shape", "layers", "message"),
    [
        ((5,), (Linear.initial(4, 3, random()),), r"layer 0.*Linear takes.*\(4,\), not \(5,\)"),
        ((1, 4, 4), (ReLU(), Conv2d.initial(1, 1, 5, random()), Flatten()), "layer 1.*kernel"),
        ((4, 4), (Conv2d.initial(1, 1, 3, random()), Flatten()), r"Conv2d takes.*\(1, height, width\)"),
        ((1, 1, 4), (MaxPool2d(2), Flatten()), "MaxPool2d takes"),
        ((1, 4, 4), (ReLU(),), "Flatten"),
    ],
)
def test_layers_that_do_not_fit(shape: tuple[int, ...], layers: tuple[Layer, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Network(shape, layers)


@pytest.mark.parametrize("shape", [(3, 783), (784,), (3, 28, 28)])
def test_samples_of_the_wrong_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"\(n, 784\)"):
        an_obfnet()(np.zeros(shape, np.float32))


def test_an_unknown_kind_of_layer() -> None:
    with pytest.raises(ConfigError, match="did you mean 'Linear'"):
        Network.from_tree({"input_shape": [4], "layers": [{"kind": "Linea"}]})


def test_lenet_refuses_other_shapes(digits: Dataset) -> None:
    LeNet().check((28, 28))
    with pytest.raises(ConfigError, match=r"model=lenet.*\(28, 28\).*\(8, 8\).*model=mlp"):
        LeNet().train(digits.training, silent)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (LeNet, {"epochs": 0}),
        (Mlp, {"max_lr": float("nan")}),
        (Mlp, {"hidden": (64, 0)}),
        (Mlp, {"seed": -1}),
        (LeNet, {"batch_size": 0}),
    ],
)
def test_recipes_that_cannot_train(model: type[LeNet] | type[Mlp], options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        dataclasses.replace(model(), **options)  # type: ignore[arg-type]


def test_the_mlp_learns_digits(digits: Dataset, classifier: Network) -> None:
    assert accuracy(classifier, unit(digits.test.samples, 16), digits.test.labels) >= 0.95
    assert classifier.n_parameters == 64 * 256 + 256 + 256 * 10 + 10


def test_training_repeats_with_its_seed_and_leaves_torchs_own_generator_alone(digits: Dataset) -> None:
    state = torch.get_rng_state()
    first, again, other = (Mlp(seed, (16,), epochs=1).train(digits.training, silent) for seed in (3, 3, 4))
    assert same(first, again)
    assert not same(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_training_tells_how_far_it_is(digits: Dataset) -> None:
    heard: list[tuple[str, int, int]] = []
    recipe = training.Recipe(epochs=3, max_lr=1e-3, min_steps=0)
    untrained = Network((64,), dense_relu((64, 10), random()))
    training.fit(untrained, digits.training, recipe, random(), lambda *event: heard.append(event), what="training")
    assert heard == [("training", 1, 3), ("training", 2, 3), ("training", 3, 3)]


def test_small_data_sets_get_more_epochs() -> None:
    recipe = training.Recipe(epochs=2, max_lr=1e-3, batch_size=100, min_steps=50)
    assert recipe.epochs_on(60_000) == 2
    assert recipe.epochs_on(401) == 10


@pytest.mark.parametrize("hidden", [(), (100,)])
def test_an_obfnet_keeps_the_accuracy_and_the_classifier(
    digits: Dataset, classifier: Network, hidden: tuple[int, ...]
) -> None:
    before = [weight.copy() for weight in weights(classifier)]
    obfnet = train_obfnet(classifier, digits.training, hidden, epochs=2, max_lr=2e-3, seed=0, progress=silent)
    assert all(map(np.array_equal, weights(classifier), before))
    assert obfnet.shapes == ((64,), *[(width,) for width in (*hidden, 64) for _ in range(2)])
    samples = unit(digits.test.samples, 16)
    assert accuracy(classifier, samples, digits.test.labels) >= 0.95
    assert accuracy(classifier, obfnet(samples), digits.test.labels) >= 0.93
    assert np.abs(obfnet(samples) - samples).mean() > 0.1
