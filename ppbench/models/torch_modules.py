"""Networks as PyTorch modules and back. Apart from `network`, so that a device can do without torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

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


def from_network(network: Network) -> nn.Sequential:
    """A module with a copy of the weights, which takes (n, d)."""
    unflatten = [nn.Unflatten(1, network.input_shape)] if len(network.input_shape) > 1 else []
    return nn.Sequential(*unflatten, *map(_module, network.layers))


def layers(module: nn.Module) -> Iterator[Layer]:
    """Copies of the layers a module is made of; ConfigError, naming it, for one a network cannot have."""
    if isinstance(module, nn.Sequential):
        for child in module:
            yield from layers(child)
    elif not isinstance(module, nn.Unflatten):  # Network.input_shape stands for it
        layer = _layer(module)
        # The text of a module shows every option that is not a default, so also those a layer does not have.
        if layer is None or repr(_module(layer)) != repr(module):
            raise ConfigError(f"a network cannot hold the PyTorch layer {module!r}")
        yield layer


def _layer(module: nn.Module) -> Layer | None:
    match module:
        case nn.Linear(weight=weight, bias=nn.Parameter() as bias):
            return Linear(_array(weight), _array(bias))
        case nn.Conv2d(weight=weight, bias=nn.Parameter() as bias, stride=(stride, _), padding=(int(padding), _)):
            return Conv2d(_array(weight), _array(bias), stride, padding)
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


def _array(parameter: torch.Tensor) -> Array:
    array: Array = parameter.numpy(force=True).copy()
    return array
