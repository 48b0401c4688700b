"""From a clear sample to what is sent, and what the coordinator reads of it."""

from __future__ import annotations

import dataclasses

import numpy as np

from ppbench.bundle import Array
from ppbench.errors import ProtocolError
from ppbench.privacy.chance import Words, os_words
from ppbench.privacy.mechanisms import Mechanism
from ppbench.privacy.sensitivity import Norm, clipped

ENCODINGS = ("float32", "uint8")
_REACH = 4.0
"""One byte spans from so many scales of the noise below 0 to as many above 1; what lies beyond goes to the end."""
_STEPS = 255


@dataclasses.dataclass(frozen=True)
class Perturbation:
    """Clips, adds noise and packs. Whatever is done after the noise does not see the sample: it costs no privacy."""

    mechanism: Mechanism
    norm: Norm
    clip: float
    """In this norm; 0: no clipping."""
    encoding: str

    def packed(self, samples: Array, words: Words = os_words) -> Array:
        """(n, d) float32 in [0, 1] -> (n, d) of the encoding's type, noisy.

        Raises ProtocolError for values outside [0, 1] or NaN, of which the guarantee would not hold.
        """
        lowest, highest = samples.min(initial=0), samples.max(initial=0)
        if not (lowest >= 0 and highest <= 1):  # both are NaN where a sample holds one
            raise ProtocolError(f"samples from {lowest:g} to {highest:g}: the noise is calibrated for 0 to 1")
        noisy = self.mechanism.release(clipped(samples, self.norm, self.clip) if self.clip else samples, words)
        if self.encoding == "float32":
            return noisy
        return np.rint((noisy - self._lowest) / self._step).clip(0, _STEPS).astype(np.uint8)

    def unpacked(self, packed: Array) -> Array:
        """What `packed` made as (n, d) float32. Raises ProtocolError for another type."""
        if packed.dtype != self.encoding:
            raise ProtocolError(f"samples encoded as {self.encoding} are awaited, but they are {packed.dtype}")
        return packed if self.encoding == "float32" else packed * np.float32(self._step) + np.float32(self._lowest)

    @property
    def _lowest(self) -> float:
        return -_REACH * self.mechanism.scale

    @property
    def _step(self) -> float:
        return (1 - 2 * self._lowest) / _STEPS
