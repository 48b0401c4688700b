"""Networks as PyTorch modules and back. Apart from `network`, so that a device can do without torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import assert_never

import numpy as np
import torch
from torch import nn

from ppbench.bundle import Array
from ppbench.errors import ConfigError
from ppbench.models.network import AvgPool2d, Conv2d, Flatten, Layer, Linear, MaxPool2d, Network, ReLU, Square


class SquareModule(nn.Module):
    """`x * x`, which PyTorch has as a function only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape -> the same shape."""
        return x * x


def from_network(network: Network, *, batch_norm: bool = False) -> nn.Sequential:
    """A module with a copy of the weights, which takes (n, d); with `batch_norm` one behind each convolution."""
    modules: list[nn.Module] = [nn.Unflatten(1, network.input_shape)] if len(network.input_shape) > 1 else []
    for layer in network.layers:
        modules.append(_module(layer))
        if batch_norm and isinstance(layer, Conv2d):
            modules.append(nn.BatchNorm2d(len(layer.bias)))
    return nn.Sequential(*modules)


def layers(module: nn.Module) -> Iterator[Layer]:
    """Copies of the layers a module is made of, as it computes in evaluation; a batch normalisation becomes a part of
    the dense layer or convolution before it. ConfigError, naming it, for a layer that a network cannot have.
    """
    last: Layer | None = None
    for leaf in _leaves(module):
        if isinstance(leaf, nn.BatchNorm1d | nn.BatchNorm2d):
            last = _folded(leaf, last)
            continue
        if last is not None:
            yield last
        last = _layer(leaf)
        # The text of a module shows every option that is not a default, so also those a layer does not have.
        if last is None or repr(_module(last)) != _text_with_bias(leaf):
            raise ConfigError(f"a network cannot hold the PyTorch layer {leaf!r}")
    if last is not None:
        yield last


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, nn.Sequential):
        for child in module:
            yield from _leaves(child)
    elif not isinstance(module, nn.Unflatten):  # Network.input_shape stands for it
        yield module


def _folded(norm: nn.BatchNorm1d | nn.BatchNorm2d, layer: Layer | None) -> Layer:
    """The layer with outputs as the normalisation would make them: Ioffe and Szegedy, ICML'15, algorithm 2, step 11."""
    if not isinstance(layer, Linear | Conv2d) or norm.running_mean is None or norm.running_var is None:
        raise ConfigError(f"a network can hold {norm!r} only with running statistics, behind a Linear or Conv2d")
    scale = 1 / np.sqrt(_array(norm.running_var) + norm.eps)
    shift = -_array(norm.running_mean) * scale
    if norm.affine:
        scale, shift = scale * _array(norm.weight), shift * _array(norm.weight) + _array(norm.bias)
    weight = layer.weight * scale.reshape(-1, *(1 for _ in layer.weight.shape[1:]))
    return dataclasses.replace(
        layer, weight=weight.astype(np.float32), bias=(layer.bias * scale + shift).astype(np.float32)
    )


def _text_with_bias(module: nn.Module) -> str:
    text = repr(module)
    if isinstance(module, nn.Linear):
        return text.replace("bias=False", "bias=True")
    return text.replace(", bias=False", "") if isinstance(module, nn.Conv2d) else text


def _layer(module: nn.Module) -> Layer | None:
    match module:
        case nn.Linear(weight=weight, bias=bias):
            return Linear(_array(weight), _bias(bias, len(weight)))
        case nn.Conv2d(weight=weight, bias=bias, stride=(stride, _), padding=(int(padding), _)):
            return Conv2d(_array(weight), _bias(bias, len(weight)), stride, padding)
        case nn.ReLU():
            return ReLU()
        case SquareModule():
            return Square()
        case nn.MaxPool2d(kernel_size=int(size)):
            return MaxPool2d(size)
        case nn.AvgPool2d(kernel_size=int(size), ceil_mode=False, divisor_override=None):  # its text omits these
            return AvgPool2d(size)
        case nn.Flatten():
            return Flatten()
        case _:
            return None


def _module(layer: Layer) -> nn.Module:
    match layer:
        case Linear(weight=weight):
            outputs, inputs = weight.shape
            return _with_weights(nn.Linear(inputs, outputs, device="meta"), layer)
        case Conv2d(weight=weight, stride=stride, padding=padding):
            outputs, inputs, height, width = weight.shape
            module = nn.Conv2d(inputs, outputs, (height, width), stride, padding, device="meta")
            return _with_weights(module, layer)
        case ReLU():
            return nn.ReLU()
        case Square():
            return SquareModule()
        case MaxPool2d(size=size):
            return nn.MaxPool2d(size)
        case AvgPool2d(size=size):
            return nn.AvgPool2d(size)
        case Flatten():
            return nn.Flatten()
        case _:
            assert_never(layer)


def _with_weights(module: nn.Module, layer: Linear | Conv2d) -> nn.Module:
    # Into a module without memory, because one with memory would draw weights from torch's global generator.
    weights = {"weight": torch.tensor(layer.weight), "bias": torch.tensor(layer.bias)}
    module.load_state_dict(weights, assign=True)
    return module


def _bias(parameter: torch.Tensor | None, n: int) -> Array:
    return np.zeros(n, np.float32) if parameter is None else _array(parameter)


def _array(parameter: torch.Tensor) -> Array:
    array: Array = parameter.numpy(force=True).copy()
    return array
