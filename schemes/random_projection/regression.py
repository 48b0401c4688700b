"""Back from projections to samples, learnt from public samples of which both are known."""

from __future__ import annotations

import numpy as np

from ppbench.bundle import Array

_RIDGE = 1e-2
"""In units of the mean eigenvalue. Without any, the error has a peak where there are as many public samples as values
in a projection: on MNIST with 392 of both, a mean squared error of 1.2 instead of 0.005.
"""


def regression(projected: Array, clear: Array) -> Array:
    """The (k, d) float32 matrix B by which projected (m, k) @ B comes closest to clear (m, d): ridge regression.

    Because it learns what samples look like, it does better than the inverse of the projection matrix, which it does
    not need; of m < k samples it takes the dual form.
    """
    y, x = projected.astype(np.float64), clear.astype(np.float64)
    if len(y) < y.shape[1]:
        back = y.T @ np.linalg.solve(_regular(y @ y.T), x)
    else:
        back = np.linalg.solve(_regular(y.T @ y), y.T @ x)
    return back.astype(np.float32)


def _regular(gram: Array) -> Array:
    n = len(gram)
    regular: Array = gram + _RIDGE * np.trace(gram) / n * np.eye(n)
    return regular
