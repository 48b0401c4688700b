"""How fast the host computes what participants compute: kernels that turn its seconds into those of a device.

They run in the same job as what is measured, before and after it, each time in a fresh process with as many threads.
They take the shapes that schemes on MNIST-sized samples run, in the job's own batch size: a host's rate at a single
sample is a fraction of its rate at 256, and it is the rate that a scheme met that its seconds are to be divided by.
Rates are per second of CPU time, as the seconds of a stage are, so that a busy machine disturbs little.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np

from ppbench.data.dataset import unit
from ppbench.errors import PpbenchError
from ppbench.models.network import Conv2d, Flatten, MaxPool2d, Network, ReLU
from ppbench.process import die_with_parent, environment, module_command
from ppbench.scheme import Arithmetic

Kernel: TypeAlias = Literal["float_mac", "convolution_mac", "value", "word_mac", "butterfly"]

_KERNEL_S = 0.08
"""CPU seconds of one kernel, in so many runs as they allow, and at least `_LEAST_RUNS`."""
_LEAST_RUNS = 5
_DEADLINE_S = 60.0
_LARGEST_BATCH = 256
_LARGEST_WORD_BATCH = 16
"""No library multiplies matrices of 64-bit integers in blocks, so that a larger batch gains nothing."""
_SPREAD = (0.1, 0.5, 0.9)
"""Quantiles: low, the median, high."""


@dataclasses.dataclass(frozen=True)
class Rate:
    """Operations per CPU second of a kernel on the host, over its runs."""

    kernel: Kernel
    median: float
    low: float
    """The 10 % quantile."""
    high: float
    """The 90 % quantile."""

    @property
    def metrics(self) -> tuple[str, str, str]:
        """What the records of median, low and high are called."""
        return metrics_of(self.kernel)


def metrics_of(kernel: Kernel) -> tuple[str, str, str]:
    """The metrics of a kernel's median, low and high rate."""
    return f"calibration_{kernel}_per_s", f"calibration_low_{kernel}_per_s", f"calibration_high_{kernel}_per_s"


def calibrate(arithmetic: Arithmetic, batch_size: int, threads: int) -> list[Rate]:
    """The host's rates at this arithmetic, from a process of its own. Raises PpbenchError if it cannot tell."""
    command = [*module_command("ppbench.measure.calibration"), arithmetic, str(batch_size)]
    try:
        done = subprocess.run(command, env=environment(threads), capture_output=True, text=True, timeout=_DEADLINE_S)
    except subprocess.TimeoutExpired as error:
        raise PpbenchError(f"the calibration did not end within {_DEADLINE_S:g} s") from error
    if done.returncode:
        last = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise PpbenchError(f"the calibration failed: {last[-1]}")
    return [Rate(**rate) for rate in json.loads(done.stdout)]


def pooled(before: Sequence[Rate], after: Sequence[Rate]) -> list[Rate]:
    """Of two calibrations of the same kernels, one on either side of what is measured.

    A shared machine is slower for minutes at a time, which the runs of one calibration cannot show.
    """
    return [
        Rate(one.kernel, math.sqrt(one.median * other.median), min(one.low, other.low), max(one.high, other.high))
        for one, other in zip(before, after, strict=True)
    ]


def rates(arithmetic: Arithmetic, batch_size: int) -> Iterator[Rate]:
    """Of each kernel for this arithmetic, in this process."""
    random = np.random.default_rng(0)
    if arithmetic == "float":
        yield measure(*_dense(min(batch_size, _LARGEST_BATCH), random))
        yield measure(*_convolution(min(batch_size, _LARGEST_BATCH), random))
        yield _between(measure(*_value(1, random)), measure(*_value(_LARGEST_BATCH, random)))
    elif arithmetic == "integer":
        yield measure(*_word(min(batch_size, _LARGEST_WORD_BATCH), random))
    else:
        yield measure(*_butterfly())


def _between(slow: Rate, fast: Rate) -> Rate:
    """What surrounds the arithmetic is in part the interpreter's and in part a vectorised loop's, nobody knows how."""
    return Rate(slow.kernel, math.sqrt(slow.median * fast.median), slow.low, fast.high)


def _dense(batch_size: int, random: np.random.Generator) -> tuple[Kernel, int, Callable[[], object]]:
    """A random projection of MNIST to half its dimensions."""
    samples = random.random((batch_size, 784), np.float32)
    weight = random.random((392, 784), np.float32)
    return "float_mac", batch_size * weight.size, lambda: samples @ weight.T


def _convolution(batch_size: int, random: np.random.Generator) -> tuple[Kernel, int, Callable[[], object]]:
    """The convolutions of LeNet-5 with what comes between them."""
    first, second = Conv2d.initial(1, 6, 5, random, padding=2), Conv2d.initial(6, 16, 5, random)
    network = Network((1, 28, 28), (first, ReLU(), MaxPool2d(2), second, ReLU(), MaxPool2d(2), Flatten()))
    samples = random.random((batch_size, 784), np.float32)
    return "convolution_mac", batch_size * network.macs, lambda: network(samples)


def _value(batch_size: int, random: np.random.Generator) -> tuple[Kernel, int, Callable[[], object]]:
    """What every scheme on real numbers begins with: pixels to values in [0, 1]."""
    pixels = random.integers(0, 255, (batch_size, 784), np.uint8)
    return "value", pixels.size, lambda: unit(pixels, 255.0)


def _word(batch_size: int, random: np.random.Generator) -> tuple[Kernel, int, Callable[[], object]]:
    """The same projection, of shares modulo 2^64."""
    low, high = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    shares = random.integers(low, high, (batch_size, 784))
    weight = random.integers(low, high, (784, 392))
    return "word_mac", batch_size * weight.size, lambda: shares @ weight


def _butterfly() -> tuple[Kernel, int, Callable[[], object]]:
    """A CKKS encryption by SEAL, counted as devices are: as its number-theoretic transforms, 4 for each prime."""
    import tenseal.sealapi as sealapi

    from ppbench.he.seal import make_context

    degree, modulus_bits = 8192, (60, 60, 60)
    context = make_context(degree, modulus_bits)
    keys = sealapi.KeyGenerator(context)
    public_key = sealapi.PublicKey()
    keys.create_public_key(public_key)
    encoder, encryptor = sealapi.CKKSEncoder(context), sealapi.Encryptor(context, public_key)
    values = [1.0] * (degree // 2)

    def encrypt() -> None:
        plaintext, ciphertext = sealapi.Plaintext(), sealapi.Ciphertext()
        encoder.encode(values, 2.0**30, plaintext)
        encryptor.encrypt(plaintext, ciphertext)

    per_transform = degree // 2 * (degree.bit_length() - 1)
    return "butterfly", 4 * len(modulus_bits) * per_transform, encrypt


def measure(kernel: Kernel, operations: int, run: Callable[[], object]) -> Rate:
    """The rate over repeated runs, the first left out."""
    run()
    rates: list[float] = []
    end_s = time.process_time() + _KERNEL_S
    while len(rates) < _LEAST_RUNS or time.process_time() < end_s:
        start_s = time.process_time()
        run()
        rates.append(operations / max(time.process_time() - start_s, 1e-9))
    low, median, high = (float(value) for value in np.quantile(rates, _SPREAD))
    return Rate(kernel, median, low, high)


def main(arguments: list[str] | None = None) -> int:
    """Print the rates as a JSON list."""
    parser = argparse.ArgumentParser(prog="python -m ppbench.measure.calibration", description=calibrate.__doc__)
    parser.add_argument("arithmetic", choices=get_args(Arithmetic))
    parser.add_argument("batch_size", type=int)
    parsed = parser.parse_args(arguments)
    die_with_parent()
    found = [dataclasses.asdict(rate) for rate in rates(parsed.arithmetic, parsed.batch_size)]
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
