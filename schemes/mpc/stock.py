"""CrypTen as its own examples use it: a `crypten.nn` model, encrypted by its owner, called on an encrypted batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ppbench.bundle import Array
from ppbench.errors import ConfigError
from ppbench.models.network import AvgPool2d, Conv2d, Flatten, Layer, Linear, MaxPool2d, Network, ReLU, Square
from schemes.mpc.counts import Counts
from schemes.mpc.session import COORDINATOR, PARTICIPANT, CrypTen, Session, ends_with_peer

if TYPE_CHECKING:
    from schemes.mpc.scheme import Mpc


class Half:
    """See `engines.Half`; CrypTen's default protocols and order of layers."""

    def __init__(self, scheme: Mpc, network: Network, session: Session) -> None:
        self._session = session
        self._network = network
        self._reveal = scheme.reveal
        self._modules = [module(layer, session) for layer in network.layers]

    def offline(self, n: int) -> None:
        """CrypTen asks its dealer when it needs something."""

    def infer(self, n: int, samples: Array | None) -> Array | None:
        """(n, d) in [0, 1] at the participant -> logits (n, classes) or labels (n,), at the participant."""
        batch = np.zeros((n, *self._network.input_shape), np.float32) if samples is None else samples
        with ends_with_peer():
            encrypted = self._session.crypten.cryptensor(
                torch.from_numpy(batch.reshape(n, *self._network.input_shape)), src=PARTICIPANT
            )
            with self._session.crypten.no_grad():
                for layer in self._modules:
                    encrypted = layer(encrypted)
                if self._reveal == "argmax":
                    encrypted = encrypted.argmax(dim=1, one_hot=False)
                revealed = encrypted.get_plain_text(dst=PARTICIPANT)
        return revealed.numpy() if self._session.rank == PARTICIPANT else None

    def counts(self) -> Counts:
        """See `Session.counts`."""
        return self._session.counts()

    def close(self) -> None:
        """Leave CrypTen's world."""
        self._session.close()


def module(layer: Layer, session: Session) -> CrypTen:
    """CrypTen's module for a layer, its weights shared by the coordinator."""
    if isinstance(layer, Square):
        return lambda encrypted: encrypted.square()
    return _module(layer, session.crypten.nn).encrypt(src=COORDINATOR)


def _module(layer: Layer, nn: CrypTen) -> CrypTen:
    match layer:
        case Linear():
            outputs, inputs = layer.weight.shape
            return _weighted(nn.Linear(inputs, outputs), layer)
        case Conv2d():
            outputs, inputs, *kernel = layer.weight.shape
            return _weighted(nn.Conv2d(inputs, outputs, tuple(kernel), layer.stride, layer.padding), layer)
        case ReLU():
            return nn.ReLU()
        case MaxPool2d(size=size):
            return nn.MaxPool2d(size)
        case AvgPool2d(size=size):
            return nn.AvgPool2d(size)
        case Flatten():
            return nn.Flatten(axis=1)
    raise ConfigError(f"CrypTen has no {type(layer).__name__}")


def _weighted(untrained: CrypTen, layer: Linear | Conv2d) -> CrypTen:
    untrained.set_parameter("weight", torch.tensor(layer.weight))
    untrained.set_parameter("bias", torch.tensor(layer.bias))
    return untrained
