"""How far a point can be from the true inverse of a Sylvester flow: the residual, times how far the inverse stretches there."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

_EPS = float(np.finfo(np.float64).eps)
_BEND = 0.77  # no derivative of sech^2 is larger: 4 / (3 sqrt(3)) is the largest


def distance_to_root(parts: Any, x: tf.Tensor, z: tf.Tensor, lipschitz: tf.Tensor) -> tf.Tensor:
    r"""Bounds of $\|x - F^{-1}(z)\|$: the residual $\|F(x) - z\|$ and its rounding, times a constant of the inverse.

    One constant is that of all space, K.  The other is near 1 where the tanh are flat, whatever K: with $k = \|A^{-1}\|$ of the
    Jacobian $A = I + R\,\mathrm{diag}(t)\,S$ at x and $\|A - A'\| \le \beta \rho$ at a distance $\rho$, Newton's method with A
    stays in the ball of radius $\rho$ if $k (r + \beta \rho^2) \le \rho$, so the root is in the smallest such,

    $$\rho = \frac{2 k r}{1 + \sqrt{1 - 4 k^2 \beta r}}.$$

    Args:
        parts: the map's, `SylvesterParts` in float64.
        x: `(batch, dim)`, float64.
        z: `(batch, dim)`, float64.
        lipschitz: K.

    Returns:
        `(batch,)`, float64.

    Source: the simplified Newton method, Kantorovich and Akilov, "Functional Analysis" (1982), chapter XVIII.

    Example:
        >>> from inntf.blocks import Sylvester
        >>> block = Sylvester(directions=1, seed=0, dtype="float64").ensure_built((3,))
        >>> x = tf.ones([1, 3], tf.float64)
        >>> round(float(distance_to_root(block.parts(), x, x + 0.5, tf.constant(1.0, tf.float64))[0]), 9) == round(0.75**0.5, 9)
        True
    """
    count, dim = parts.outer.shape[0], parts.push.shape[0]
    s = tf.matmul(x, parts.read, transpose_b=True) + parts.offset
    tanh = tf.tanh(s)
    t = (1 - tanh) * (1 + tanh)
    rows, columns = tf.norm(parts.inner, axis=1), tf.norm(parts.outer, axis=0)
    off = tf.norm(x + tf.matmul(tanh, parts.push, transpose_b=True) - z, axis=1)
    # Of inner products of these lengths, and of an orthonormal basis that is so up to rounding.
    unit = 4 * float(dim + count + 8) * _EPS
    of_s = unit * (rows * tf.norm(x, axis=1, keepdims=True) + tf.abs(parts.offset))
    of_push = tf.minimum(t + _BEND * of_s, 1.0) * of_s + unit * tf.abs(tanh)
    off += unit * (tf.norm(x, axis=1) + tf.norm(z, axis=1)) + tf.linalg.matvec(of_push, columns)
    singular = tf.linalg.svd(
        tf.eye(count, dtype=x.dtype) + tf.matmul(parts.outer * t[:, None, :], parts.inner), compute_uv=False
    )
    least = singular[:, -1] - 16 * count * _EPS * singular[:, 0]
    least = tf.minimum(least, 1.0) if dim > count else least
    left = least - _BEND * tf.linalg.matvec(of_s, rows * columns)
    known = left > 0
    k = 1 / tf.where(known, left, tf.ones_like(left))
    room = 1 - 4 * tf.square(k) * _BEND * tf.reduce_sum(columns * tf.square(rows)) * off
    near = 2 * k * off / (1 + tf.sqrt(tf.maximum(room, 0.0)))
    return tf.where(known & (room >= 0), tf.minimum(near, lipschitz * off), lipschitz * off) * (1 + 1e-12)
