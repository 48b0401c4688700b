"""The participant against the model: what it encrypts and decrypts are linear equations in the weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ppbench.bundle import Array, unflatten
from ppbench.errors import ConfigError
from ppbench.models.network import Network
from ppbench.wire.message import text_of
from schemes.barni.linear import Geometry, LinearLayer
from schemes.barni.plan import Plan, join
from schemes.barni.scheme import INPUTS, OUTPUTS, PLAN

_RIDGE = 1e-3
"""Square of the noise of an output, about 2^-8, over the size of a weight, about 0.1: directions in which the inputs
reach less far than that say nothing of the weights."""
_CHUNK = 1 << 22
"""Numbers in the equations that are added up at a time."""


@dataclasses.dataclass(frozen=True, eq=False)
class Recovered:
    """A linear layer as far as the equations determine it; least squares with the smallest weights otherwise."""

    layer: LinearLayer
    n_equations: int
    """For each output map."""
    rank: int
    """Directions that the equations determine, of as many as there are weights and a bias for an output map."""


def observed(view: Sequence[Mapping[str, Any]]) -> tuple[Plan, list[tuple[Array, Array]]]:
    """A participant's view -> the plan, and each linear layer's inputs (n, in) and outputs (n, out).

    Raises ConfigError for the view of another party or another scheme.
    """
    plans = [entry["arrays"] for entry in view if entry["name"] == PLAN]
    if not plans:
        raise ConfigError(f"the view holds no {PLAN!r}: it is not that of a participant of scheme=barni")
    plan = Plan.from_tree(unflatten(text_of(plans[0]), plans[0][1:]))
    n_layers = len(plan.exchanges)
    inputs, outputs = ([entry["arrays"][0] for entry in view if entry["name"] == name] for name in (INPUTS, OUTPUTS))
    return plan, [
        (np.concatenate(inputs[layer::n_layers]), np.concatenate(outputs[layer::n_layers])) for layer in range(n_layers)
    ]


def recover(geometry: Geometry, inputs: Array, outputs: Array) -> Recovered:
    """A layer's weights from inputs (n, in) and outputs (n, out)."""
    n_positions, n_weights = geometry.windows.shape
    gram, moments = np.zeros((n_weights + 1, n_weights + 1)), np.zeros((n_weights + 1, geometry.maps))
    step = max(1, _CHUNK // geometry.windows.size)
    for start in range(0, len(inputs), step):
        some = inputs[start : start + step]
        padded = np.concatenate([some, np.zeros((len(some), 1))], axis=1)
        equations = np.ones((len(some) * n_positions, n_weights + 1))
        equations[:, :-1] = padded[:, geometry.windows].reshape(-1, n_weights)
        maps = outputs[start : start + step].reshape(len(some), geometry.maps, n_positions)
        gram += equations.T @ equations
        moments += equations.T @ maps.transpose(0, 2, 1).reshape(-1, geometry.maps)
    solved = np.linalg.solve(gram + _RIDGE * np.eye(len(gram)), moments)
    weight = solved[:-1].T.reshape(geometry.maps, geometry.inputs[0], *geometry.kernel)
    layer = LinearLayer(geometry, weight.astype(np.float32), solved[-1].astype(np.float32))
    return Recovered(layer, len(inputs) * n_positions, int((np.linalg.eigvalsh(gram) > _RIDGE).sum()))


def steal(view: Sequence[Mapping[str, Any]], n_queries: int | None = None) -> tuple[Network, list[Recovered]]:
    """The network that a participant's view determines from its first queries (None: all), and its linear layers."""
    plan, pairs = observed(view)
    recovered = [
        recover(exchange.linear, inputs[:n_queries], outputs[:n_queries])
        for exchange, (inputs, outputs) in zip(plan.exchanges, pairs, strict=True)
    ]
    return join(plan, [one.layer for one in recovered]), recovered
