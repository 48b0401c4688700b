"""CrypTen's world with protocols for what these two parties know: each weight is opened once, each sign costs bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ppbench.bundle import Array
from ppbench.models.network import Network
from schemes.mpc import plan
from schemes.mpc.correlations import Correlation
from schemes.mpc.counts import Counts
from schemes.mpc.session import PARTICIPANT, Session, ends_with_peer
from schemes.mpc.source import Source

if TYPE_CHECKING:
    from schemes.mpc.scheme import Mpc


class Half:
    """See `engines.Half`."""

    def __init__(self, scheme: Mpc, network: Network, session: Session, source: Source) -> None:
        self._session = session
        self._source = source
        self._input_shape = network.input_shape
        self._scale = 2**scheme.precision
        self._ahead = scheme.dealer == "prefetch"
        ordered = plan.ordered(scheme, network)
        self._shapes = ordered.shapes
        with ends_with_peer():
            self._steps = plan.steps(scheme, ordered, session)
        for layer in plan.masked_layers(self._steps):
            (mask,) = source.fetch([layer.weight_mask()])
            layer.open_weights(mask)

    def offline(self, n: int) -> None:
        """Ask the dealer for what a batch of n samples will use up, if that is to be ahead of time."""
        if self._ahead:
            self._source.prefetch(self._needs(n))

    def infer(self, n: int, samples: Array | None) -> Array | None:
        """(n, d) in [0, 1] at the participant -> logits (n, classes) or labels (n,), at the participant."""
        share = torch.zeros((n, *self._input_shape), dtype=torch.int64)
        if samples is not None:
            # The participant's share is the sample, the coordinator's is 0: what is opened is masked all the same.
            share += torch.from_numpy(np.rint(samples.astype(np.float64) * self._scale).astype(np.int64)).reshape(
                share.shape
            )
        with ends_with_peer():
            # All at once, because each question to the dealer is waited for.
            dealt = self._source.take(self._needs(n))
            for step in self._steps:
                share = step(share, dealt)
            return self._revealed(share)

    def _needs(self, n: int) -> list[Correlation]:
        """What a batch of n samples uses up."""
        # One shape more than layers: that of the logits, for the step that finds the label.
        shapes = zip(self._steps, self._shapes, strict=False)
        return [need for step, shape in shapes for need in step.needs((n, *shape))]

    def _revealed(self, share: torch.Tensor) -> Array | None:
        if self._session.rank != PARTICIPANT:
            self._session.send(share.numpy())
            return None
        (other,) = self._session.receive("share of the answers", share.numpy())
        answers: Array = self._session.ring.signed(share + torch.from_numpy(other)).numpy()
        return answers if answers.ndim == 1 else answers / self._scale

    def counts(self) -> Counts:
        """See `Session.counts`."""
        return self._session.counts()

    def close(self) -> None:
        """Leave CrypTen's world."""
        self._session.close()
