"""The scattering transform of images: wavelets, moduli and averages, with nothing in it that is learnt from data.

Bruna & Mallat, TPAMI'13, with 2 scales and 8 directions of Morlet wavelets. Linear models on it train under DP-SGD far
better than deep ones on pixels: Tramer & Boneh, ICLR'21. Filters, padding and order of the channels are those of
kymatio (Andreux et al., JMLR'20). Numpy alone: a device computes it too.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from ppbench.bundle import Array

N_SCALES, N_DIRECTIONS = 2, 8
STRIDE: int = 2**N_SCALES
N_CHANNELS = 1 + N_SCALES * N_DIRECTIONS + N_DIRECTIONS**2
"""81: the mean grey, 16 moduli of wavelets, and 64 moduli of coarse wavelets of fine moduli."""
SMALLEST_SIDE = 8

_AT_ONCE = 4
"""Images at a time: their intermediates stay in the processor's cache, where 64 at once take three times as long."""
_CHANNELS_PER_GROUP = 3
_TINY = 1e-5


def scattering(images: Array) -> Array:
    """(n, side, side) float32 -> (n, 81, side / 4, side / 4) float32. The side is a multiple of 4, at least 8."""
    n, side = images.shape[:2]
    filters = _filters(side)
    margins = (0, 0), filters.margins, filters.margins
    output = np.empty((n, N_CHANNELS, side // STRIDE, side // STRIDE), np.float32)
    for start in range(0, n, _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        _scatter(np.pad(images[some], margins, mode="reflect"), filters, output[some])
    return output


def normalised(features: Array) -> Array:
    """(n, 81, rows, columns) -> the same shape: three channels at a time shifted and scaled to mean 0 and variance 1.

    Tramer & Boneh's group normalisation. It looks at one image alone, so it costs no privacy.
    """
    n, channels = features.shape[:2]
    groups = features.reshape(n, channels // _CHANNELS_PER_GROUP, -1)
    centred = groups - groups.mean(axis=2, keepdims=True)
    deviation = np.sqrt(np.square(centred).mean(axis=2, keepdims=True) + np.float32(_TINY))
    scaled: Array = centred / deviation
    return scaled.reshape(features.shape)


@dataclasses.dataclass(frozen=True, eq=False)
class _Filters:
    margins: tuple[int, int]
    """Pixels by which an image is mirrored at its edges, before and after it."""
    fine: Array
    """(8, p, p): Fourier transforms of the wavelets of the first scale, which are real; p is the padded side."""
    coarse: Array
    """(8, 2, p/2, 2, p/2): those of the second scale, divided by 4, both axes of frequencies split in halves."""
    average: Array
    """(side / 4, p): averages over rows, and over columns, at every fourth pixel of the original image."""
    average_of_half: Array
    """(side / 4, p / 2): the same from every other pixel."""


def _scatter(padded: Array, filters: _Filters, output: Array) -> None:
    """Fill `output` (n, 81, rows, columns) from images (n, p, p)."""
    n, half = len(padded), padded.shape[-1] // 2
    spectrum = np.fft.fft2(padded)
    fine = np.abs(np.fft.ifft2(spectrum[:, np.newaxis] * filters.fine))
    # Coarse wavelets of the image itself, and of each fine modulus.
    spectra = np.concatenate([spectrum[:, np.newaxis], np.fft.fft2(fine)], axis=1)
    quarters = spectra.reshape(n, 1 + N_DIRECTIONS, 1, 2, half, 2, half)
    # Taking every other pixel adds up the four quarters of the frequencies.
    folded = sum(quarters[..., i, :, j, :] * filters.coarse[:, i, :, j] for i in (0, 1) for j in (0, 1))
    coarse = np.abs(np.fft.ifft2(folded))
    first = 1 + N_DIRECTIONS
    output[:, 0] = filters.average @ padded @ filters.average.T
    output[:, 1:first] = filters.average @ fine @ filters.average.T
    averages = filters.average_of_half @ coarse @ filters.average_of_half.T
    output[:, first:] = averages.reshape(n, -1, *output.shape[2:])


@functools.cache
def _filters(side: int) -> _Filters:
    padded = side + 2 * STRIDE
    half = padded // 2
    wavelets = [_morlet(padded, scale) for scale in range(N_SCALES)]
    # The average is a Gaussian, so it is done along rows, then along columns.
    window = _gabor(padded, 0.8 * 2 ** (N_SCALES - 1), 0.0, 0.0, 1.0).real.sum(axis=0)
    return _Filters(
        margins=(STRIDE, STRIDE),
        fine=wavelets[0].astype(np.float32),
        coarse=(wavelets[1] / 4).reshape(N_DIRECTIONS, 2, half, 2, half).astype(np.float32),
        average=_at_every(STRIDE, window, side),
        average_of_half=_at_every(STRIDE // 2, 2 * window[::2], side),
    )


def _morlet(side: int, scale: int) -> Array:
    """(8, side, side) float64: Fourier transforms of the wavelets of one scale, which are real."""
    spread, frequency, slant = 0.8 * 2**scale, 0.75 * np.pi / 2**scale, 4 / N_DIRECTIONS
    transforms = []
    for direction in range(N_DIRECTIONS):
        angle = (N_DIRECTIONS // 2 - 1 - direction) * np.pi / N_DIRECTIONS
        wave = _gabor(side, spread, angle, frequency, slant)
        envelope = _gabor(side, spread, angle, 0.0, slant)
        # A wavelet has mean 0: it does not see how bright an image is.
        transforms.append(np.fft.fft2(wave - wave.sum() / envelope.sum() * envelope).real)
    return np.stack(transforms)


def _gabor(side: int, spread: float, angle: float, frequency: float, slant: float) -> Array:
    """(side, side) complex128: a wave in one direction under a Gaussian of sum 1, made periodic."""
    offsets = np.arange(-2 * side, 3 * side)
    x, y = np.meshgrid(offsets, offsets, indexing="ij")
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    wave = np.exp(-(along**2 + slant**2 * across**2) / (2 * spread**2) + 1j * frequency * along)
    total: Array = wave.reshape(5, side, 5, side).sum(axis=(0, 2))
    return total * slant / (2 * np.pi * spread**2)


def _at_every(stride: int, window: Array, side: int) -> Array:
    """(side / 4, len(window)) float32: the window around every `stride`-th place, the mirrored margins left out."""
    places = stride * np.arange(1, side // STRIDE + 1)
    return np.stack([np.roll(window, place) for place in places]).astype(np.float32)
