"""Random orthogonal matrices."""

from __future__ import annotations

import numpy as np

from ppbench.bundle import Array
from ppbench.privacy.chance import Words, os_words
from ppbench.privacy.mechanisms import Gaussian


def haar_matrix(dimension: int, words: Words = os_words) -> Array:
    """(d, d) float64 orthogonal, uniform over all of them (Haar's measure): Mezzadri, Notices of the AMS 2007.

    The Q of a Gaussian matrix's QR decomposition is uniform only once the diagonal of R is made positive.
    """
    q, r = np.linalg.qr(Gaussian(1.0).noise((dimension, dimension), words))
    rotation: Array = q * np.sign(np.diag(r))
    return rotation
