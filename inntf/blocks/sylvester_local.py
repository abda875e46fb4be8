"""The Sylvester flow in balls: its Jacobian at the centres, that of its inverse, and how far they can be elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from inntf.blocks import tanh_push
from inntf.core.local_maps import LocalMap
from inntf.numerics.norms.inner_diagonal import moved_inside

_TRIES = 12


def sylvester_in_balls(block: Any, x: np.ndarray, radius: np.ndarray, inverse: bool) -> LocalMap:
    r"""$I + Q A_t Q^\top - Q Q^\top$ with $A_t = I + R\,\mathrm{diag}(t)\,S$; of the inverse $A_t^{-1}$ in its place.

    In a ball of radius `r` each `s_i` moves by at most r times the length of its row, and each slope between its values there.
    A ball round `z` comes from one round `x`: with $k = \|A_t^{-1}\|$ at the centre and $\|A_t - A_u\| \le e$ within
    $\rho$ of it, the image of that ball holds one of radius $\rho (1 - k e) / k$, so $\rho$ is looked for where this is `r`;
    the global bound times `r` is large enough in any case.  There the inverses differ by at most $k^2 e / (1 - k e)$.

    Args:
        block: a `Sylvester`, built, in float64.
        x: centres, `(n, dim)`; of `z` if `inverse`.
        radius: `(n,)`.
        inverse: of the inverse map.

    Returns:
        A `LocalMap`.

    Source: inntf; perturbation of an inverse: Horn and Johnson, "Matrix Analysis" (2013), section 5.8.

    Example:
        >>> from inntf.blocks import Sylvester
        >>> block = Sylvester(directions=1, seed=0, dtype="float64").ensure_built((3,))
        >>> sylvester_in_balls(block, np.zeros([1, 3]), np.ones(1), False).deviation.tolist()[0] < 1e-9
        True
    """
    parts = block.parts(tf.float64)
    push, reading, offset, _, outer, inner = (part.numpy() for part in parts)
    size, count = push.shape
    bounds = block.lipschitz_bounds()
    bound, reach, data, error = bounds.forward, radius, x, np.zeros(len(x))
    if inverse:
        found, _, certificate = block.inverse_with_certificate(tf.constant(x))
        bound, data, error = bounds.inverse, found.numpy(), certificate.error_bound.numpy()
    s, rows = data @ reading.T + offset, np.linalg.norm(inner, axis=1)
    value = data if inverse else x + np.tanh(s) @ push.T
    at = tanh_push.slope_range(s, s)[1]
    matrix = np.eye(count) + (outer * at[:, None, :]) @ inner
    back = np.linalg.inv(matrix)
    k = np.linalg.norm(back, 2, (1, 2))
    k = np.maximum(k, 1.0) if size > count else k
    floor = 1e-14 * np.linalg.norm(matrix, 2, (1, 2))

    def moved(within: np.ndarray) -> np.ndarray:
        ends = (within + error)[:, None] * rows
        least, most = tanh_push.slope_range(s - ends, s + ends)
        return moved_inside(outer, inner, np.maximum(most - at, at - least)) + floor

    if inverse:
        reach = k * radius
        for _ in range(_TRIES):
            reach = k * radius * _over(1 - k * moved(reach))
        reach = reach * (1 + 1e-6)
        held = k * radius <= reach * (1 - k * moved(reach))
        reach = np.minimum(np.where(held, reach, np.inf), radius * bounds.inverse)
    e = moved(reach)
    basis = np.linalg.solve(inner, reading).T  # read = S Q^T
    changed = (back if inverse else matrix) - np.eye(count)
    jacobian = np.eye(size) + basis @ changed @ basis.T
    deviation = np.minimum(k**2 * e * _over(1 - k * e), k + bound) if inverse else e
    return LocalMap(value, jacobian, deviation, bound=bound, error=error)


def _over(value: np.ndarray) -> np.ndarray:
    """One over it, infinite where it is not positive."""
    return np.where(value > 0, 1 / np.where(value > 0, value, 1.0), np.inf)
