"""The participant of Barni solves for the weights of the layers that it has computed for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppbench import bundle
from ppbench.data.digits import Digits
from ppbench.errors import ConfigError
from ppbench.measure import experiment
from ppbench.measure.job import Job, MeasureOptions, TaskOptions
from ppbench.measure.load import trained
from ppbench.models.mlp import Mlp
from ppbench.progress import silent
from schemes.barni import Barni
from schemes.barni.extraction import observed, recover, steal
from schemes.barni.linear import LinearLayer
from schemes.barni.plan import split
from tests.helpers.networks import convolutions


@settings(max_examples=30)
@given(convolution=convolutions(), noise=st.sampled_from([0.0, 1e-3]))
def test_a_layer_is_recovered_from_enough_inputs(convolution: Any, noise: float) -> None:
    layer = LinearLayer.of(*convolution)
    random = np.random.default_rng(0)
    n_weights = layer.geometry.windows.shape[1]
    inputs = random.normal(size=(3 * n_weights + 20, layer.geometry.n_inputs))
    outputs = layer(inputs)
    recovered = recover(layer.geometry, inputs, outputs + random.normal(0, noise, outputs.shape))
    reached = (layer.geometry.windows != layer.geometry.n_inputs).any(axis=0)
    assert recovered.rank == reached.sum() + 1
    found, true = (w.reshape(layer.geometry.maps, -1)[:, reached] for w in (recovered.layer.weight, layer.weight))
    np.testing.assert_allclose(found, true, atol=0.02)
    np.testing.assert_allclose(recovered.layer.bias, layer.bias, atol=0.02)


def test_fewer_queries_than_inputs_leave_weights_open() -> None:
    layer = split_mlp()[0]
    inputs = np.random.default_rng(0).random((20, 64))
    recovered = recover(layer.geometry, inputs, layer(inputs))
    assert recovered.rank == recovered.n_equations == 20
    assert np.linalg.norm(recovered.layer.weight - layer.weight) > 0.3 * np.linalg.norm(layer.weight)


def split_mlp() -> tuple[LinearLayer, ...]:
    network = trained(Mlp(hidden=(16,)), Digits().load().training, silent).network
    return split(network)[1]


def test_a_participant_steals_the_network_with_its_own_queries(tmp_path: Path) -> None:
    pytest.importorskip("tenseal")
    pytest.importorskip("phe")
    model, dataset = Mlp(hidden=(16,)), Digits().load()
    measure = MeasureOptions(repetitions=1, warmup_batches=0, view_batches=2)
    record = experiment.run(
        Job(Barni(), Digits(), model, TaskOptions(n_samples=200, batch_size=100), measure), tmp_path
    )
    assert record.status == "ok", record.reason
    view = bundle.load(tmp_path / record.folder / "views" / "participant-0.npz")

    network = trained(model, dataset.training, silent).network
    samples = dataset.test.samples / np.float32(dataset.sample_max)
    _, ((inputs, _), _) = observed(view)
    np.testing.assert_array_equal(inputs, samples[:200])
    stolen, recovered = steal(view)
    unseen = samples[200:]
    assert (stolen(unseen).argmax(axis=1) == network(unseen).argmax(axis=1)).mean() > 0.98
    _, layers = split(network)
    # Pixels that are always black have weights that nobody needs.
    lit = samples[:200].std(axis=0) > 0.05
    for layer, one, used in zip(layers, recovered, (lit, slice(None)), strict=True):
        weight, found = layer.weight[:, used], one.layer.weight[:, used]
        assert np.linalg.norm(found - weight) < 0.05 * np.linalg.norm(weight)
    few, _ = steal(view, n_queries=5)
    assert (few(unseen).argmax(axis=1) == network(unseen).argmax(axis=1)).mean() < 0.9


def test_the_view_of_another_party_is_refused() -> None:
    with pytest.raises(ConfigError, match="not that of a participant of scheme=barni"):
        observed([{"name": "public key", "arrays": []}])
