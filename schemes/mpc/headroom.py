"""Whether a network's numbers fit the ring: checked on training samples in clear, before any party starts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ppbench.errors import ConfigError
from ppbench.models import fixed_point
from ppbench.models.fixed_point import FixedPoint
from ppbench.models.network import AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Square
from ppbench.scheme import Task

if TYPE_CHECKING:
    from schemes.mpc.scheme import Mpc

COMPARED_BITS = 32
"""Of a fixed-point number, from the lowest: what is compared must lie below half their range."""
MOST_PRECISION_BITS = 20
_SPU_BITS = 64
_MAX_WRONG_PER_SAMPLE = 1e-3
_KNOWN = (Linear, Conv2d, ReLU, Square, MaxPool2d, AvgPool2d, Flatten)


def check(scheme: Mpc, task: Task) -> None:
    """Raise ConfigError for a layer that is not known on shares, and for numbers too large, too many or too small."""
    network = task.model.network
    for index, layer in enumerate(network.layers):
        if not isinstance(layer, _KNOWN):
            known = ", ".join(kind.__name__ for kind in _KNOWN)
            raise ConfigError(f"model: layer {index} is {type(layer).__name__}; on shares there are {known}")
    samples = task.trial_samples()
    chosen = FixedPoint(scheme.precision, scheme.precision)
    compared, largest, wrong = 0.0, 0.0, 0.0
    for values in chosen.passes(network, samples):
        for layer, inputs, outputs in zip(network.layers, values, values[1:], strict=False):
            if isinstance(layer, ReLU | MaxPool2d):
                compared = max(compared, 2 * float(np.abs(inputs).max()))  # a difference of two
            if isinstance(layer, Linear | Conv2d | Square):
                # Truncation by each party on its own fails with probability |x| / 2^(k-1), at twice the precision.
                products = np.abs(outputs.astype(np.float64))
                largest = max(largest, float(products.max()))
                wrong += float(products.sum()) * 2.0 ** (2 * scheme.precision - scheme.ring.bits + 1) / len(samples)
        if scheme.reveal == "argmax":
            compared = max(compared, 2 * float(np.abs(values[-1]).max()))
    if scheme.engine == "spu":
        _check_product(scheme, largest)
    else:
        _check_numbers(scheme, compared, wrong)
    more = [FixedPoint(bits, bits) for bits in range(scheme.precision + 1, MOST_PRECISION_BITS + 1)]
    option = f"scheme.precision_bits={scheme.precision}"
    fixed_point.check(network, samples, chosen, option, more)


def _check_product(scheme: Mpc, largest: float) -> None:
    """SPU truncates by pairs of its dealer's, or by a protocol, and compares all bits: only products can wrap."""
    if largest * 2.0 ** (2 * scheme.precision) >= 2.0 ** (_SPU_BITS - 1):
        allowed = math.ceil((_SPU_BITS - 1 - math.log2(largest)) / 2) - 1
        raise ConfigError(
            f"scheme.precision_bits={scheme.precision}: the model's layers put out up to {largest:.3g}, which leaves "
            f"room for {allowed} bits behind the point"
        )


def _check_numbers(scheme: Mpc, compared: float, wrong: float) -> None:
    if compared * 2**scheme.precision >= 2 ** (COMPARED_BITS - 1):
        allowed = math.ceil(COMPARED_BITS - 1 - math.log2(compared)) - 1
        raise ConfigError(
            f"scheme.precision_bits={scheme.precision}: the model compares numbers up to {compared:.3g}, which "
            f"leaves room for {allowed} bits behind the point"
        )
    if wrong > _MAX_WRONG_PER_SAMPLE:
        allowed = math.floor(scheme.precision - math.log2(wrong / _MAX_WRONG_PER_SAMPLE) / 2)
        raise ConfigError(
            f"scheme.precision_bits={scheme.precision}: {wrong:.2g} numbers of each sample would wrap when they are "
            f"truncated in a ring of {scheme.ring.bits} bits; at most {allowed} bits behind the point keep that below "
            f"{_MAX_WRONG_PER_SAMPLE:g}"
        )
