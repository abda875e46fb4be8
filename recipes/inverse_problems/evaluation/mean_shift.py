"""The most likely sample: where mean shift with a normal kernel comes to rest at the highest density."""

from __future__ import annotations

import numpy as np

_STARTS, _STEPS = 64, 100


def mode(samples: np.ndarray) -> np.ndarray:
    """The mode of the samples' kernel density, by mean shift from several of them.

    The bandwidth is Scott's, `n^(-1/(dim + 4))` standard deviations of each entry.

    Args:
        samples: `(n, dim)`.

    Returns:
        `(dim,)`, the dtype of the samples.

    Source: Comaniciu and Meer, "Mean shift: a robust approach toward feature space analysis" (2002), eq. 17.

    >>> bool(abs(mode(np.array([[0.0], [0.1], [-0.1], [0.05], [5.0]]))[0]) < 0.3)
    True
    """
    samples = np.asarray(samples)
    count, dim = samples.shape
    sd = np.maximum(samples.std(0), 1e-12) * count ** (-1.0 / (dim + 4))
    points = (samples / sd).astype(np.float64)
    at = points[:: max(1, count // _STARTS)][:_STARTS]
    for _ in range(_STEPS):
        weights = _kernel(at, points)
        moved = weights @ points / weights.sum(axis=1, keepdims=True)
        still = np.abs(moved - at).max() < 1e-4
        at = moved
        if still:
            break
    best = at[np.argmax(_kernel(at, points).sum(axis=1))]
    return (best * sd).astype(samples.dtype)


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squares = ((a[:, None] - b[None]) ** 2).sum(-1)
    return np.exp(-0.5 * squares)
