"""Barni: a network taken apart, layers as products of polynomials, and integers packed into bytes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ppbench import bundle
from ppbench.bundle import Array
from ppbench.errors import ConfigError, ProtocolError
from ppbench.models.lenet import architecture
from ppbench.models.network import (
    AvgPool2d,
    Conv2d,
    Flatten,
    Linear,
    Network,
    ReLU,
)
from schemes.barni import half_bytes
from schemes.barni.linear import LinearLayer
from schemes.barni.plan import Plan, join, split
from schemes.barni.tiling import MAX_WEIGHT_POLYNOMIALS, best, span
from tests.helpers.networks import convolutions, networks, samples_for


def negacyclic(left: Array, right: Array) -> Array:
    """The product modulo X^N + 1."""
    degree = len(left)
    product = np.convolve(left, right)
    folded = product[:degree].copy()
    folded[: degree - 1] -= product[degree:]
    return folded


@settings(max_examples=300)
@given(
    convolution=convolutions(),
    degree=st.sampled_from([64, 256, 1024]),
    n=st.integers(1, 9),
    down=st.floats(0.1, 10),
)
def test_coefficients_of_products_are_the_outputs(
    convolution: tuple[Conv2d, tuple[int, int, int]], degree: int, n: int, down: float
) -> None:
    layer = LinearLayer.of(*convolution)
    tiling = best(layer.geometry, degree, n, up=1, down=down)
    if tiling is None:
        assert span(layer.geometry, channels=1) > degree
        return
    values = np.random.default_rng(0).integers(-9, 10, (n, layer.geometry.n_inputs))
    inputs = tiling.polynomials(values).reshape(-1, tiling.n_inputs, degree)
    weights = tiling.weights(layer.weight)
    answers = np.array([[sum(map(negacyclic, group, row)) for row in weights] for group in inputs])
    outputs = answers.reshape(len(inputs), -1)[:, tiling.outputs].reshape(-1, layer.geometry.n_outputs)[:n]
    bias = np.repeat(layer.bias, np.prod(layer.geometry.positions))
    np.testing.assert_array_equal(outputs + bias, layer(values))
    # Outputs made of padding alone may stand in one place.
    if layer.geometry.padding < min(layer.geometry.kernel):
        assert len(np.unique(tiling.outputs)) == tiling.outputs.size


@given(convolutions())
def test_windows_are_what_an_output_is_made_of(convolution: tuple[Conv2d, tuple[int, int, int]]) -> None:
    layer = LinearLayer.of(*convolution)
    values = np.random.default_rng(0).integers(-9, 10, (3, layer.geometry.n_inputs))
    padded = np.concatenate([values, np.zeros((3, 1), np.int64)], axis=1)
    outputs = np.einsum("npk,mk->nmp", padded[:, layer.geometry.windows], layer.weight.reshape(len(layer.bias), -1))
    np.testing.assert_array_equal(outputs.reshape(3, -1), layer(values) - np.repeat(layer.bias, outputs.shape[2]))


def padded_pixel() -> Network:
    """Its second convolution takes a single pixel, and is no dense layer because of its padding."""
    random = np.random.default_rng(0)
    pixel = dataclasses.replace(Conv2d.initial(1, 1, 1, random), stride=2)
    return Network((1, 2, 2), (pixel, Conv2d.initial(1, 1, 1, random, padding=1), Flatten()))


def test_many_images_share_polynomials_but_not_without_bound() -> None:
    layer = LinearLayer.of(Linear.initial(400, 120, np.random.default_rng(0)), (400,))
    one, many = (best(layer.geometry, 2048, n, up=3, down=2) for n in (1, 256))
    assert one is not None
    assert many is not None
    assert one.images == 1
    assert many.images > 8
    assert many.n_inputs * many.n_answers <= MAX_WEIGHT_POLYNOMIALS
    # In all, products of polynomials with these weights grow with the square root of the images at most.
    assert many.n_groups(256) * (many.n_inputs + many.n_answers) < 256 / 4 * (one.n_inputs + one.n_answers)


@given(networks())
@example(padded_pixel())
def test_a_network_comes_apart_and_together(network: Network) -> None:
    plan, layers = split(network)
    clear = network(samples_for(network, 5))
    np.testing.assert_allclose(join(plan, layers)(samples_for(network, 5)), clear, atol=1e-4, rtol=1e-4)
    again = Plan.from_tree(bundle.unflatten(*bundle.flatten(plan.to_tree())))
    values = again.first(samples_for(network, 5))
    for exchange, layer in zip(again.exchanges, layers, strict=True):
        assert exchange.linear == layer.geometry
        values = exchange.then(layer(values))
    np.testing.assert_allclose(values, clear, atol=1e-4, rtol=1e-4)


@given(networks())
def test_the_plan_holds_no_weight(network: Network) -> None:
    plan, _ = split(network)
    _, arrays = bundle.flatten(plan.to_tree())
    assert not arrays
    assert plan.first.n_parameters == 0
    assert all(exchange.then.n_parameters == 0 for exchange in plan.exchanges)


def test_average_pooling_behind_a_convolution_is_a_part_of_it() -> None:
    random = np.random.default_rng(0)
    layers = (Conv2d.initial(1, 2, 3, random), AvgPool2d(2), ReLU(), AvgPool2d(2), Flatten())
    plan, (linear,) = split(Network((1, 9, 9), layers))
    assert linear.geometry.kernel == (4, 4)
    assert linear.geometry.stride == 2
    assert linear.geometry.n_outputs == 2 * 3 * 3
    assert [type(layer) for layer in plan.exchanges[0].then.layers] == [ReLU, AvgPool2d, Flatten, Flatten]


def test_lenet_is_five_exchanges() -> None:
    plan, _ = split(architecture(10, np.random.default_rng(0)))
    assert [step.linear.n_outputs for step in plan.exchanges] == [4704, 1600, 120, 84, 10]


@dataclasses.dataclass(frozen=True)
class Unknown:
    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape


def test_a_layer_that_is_not_known_is_named() -> None:
    linear = Linear.initial(4, 3, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="layer 1 is Unknown, which scheme=barni cannot compute"):
        split(Network((4,), (linear, Unknown())))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no linear layer"):
        split(Network((4,), (ReLU(),)))


@pytest.mark.parametrize("tree", [{}, {"first": None, "exchanges": []}, {"first": {"input_shape": [1], "layers": []}}])
def test_a_plan_that_is_none_is_refused(tree: dict[str, object]) -> None:
    with pytest.raises(ProtocolError, match="the plan cannot be read"):
        Plan.from_tree(tree)


@given(
    bits=st.integers(1, 64).map(half_bytes.whole),
    n=st.integers(1, 9),
    seed=st.integers(0, 2**32),
)
def test_packed_integers_come_back(bits: int, n: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 2**bits, n, np.uint64, endpoint=False)
    packed = half_bytes.pack(values, bits)
    assert packed.shape == (half_bytes.packed_size(n, bits),)
    assert packed.size <= (n + 1) * bits / 8
    np.testing.assert_array_equal(half_bytes.unpack(packed, n, bits), values)
