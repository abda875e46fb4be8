"""The increasing function `s + (q - 1) tanh(s)` of one number, in which planar and Sylvester flows are inverted."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from inntf.numerics.solvers.monotone import MonotoneRoot, solve_monotone

TO_ONE = math.log(math.e - 1)  # softplus of it is 1
_FAR = 300.0  # where sech^2 is nothing, and cosh still a number


def slope(s: tf.Tensor, q: tf.Tensor) -> tf.Tensor:
    """`1 + (q - 1) sech(s)^2`, without a difference that could lose it.

    Source: inntf.

    Example:
        >>> float(slope(tf.constant(0.0), tf.constant(3.0)))
        3.0
    """
    tanh = tf.tanh(s)
    return tf.square(tanh) + q * (1 - tanh) * (1 + tanh)


def root(target: tf.Tensor, q: tf.Tensor, rounding: tf.Tensor) -> MonotoneRoot:
    """The `s` with `s + (q - 1) tanh(s) = target`, which is within `abs(q - 1)` of it; no gradient passes.

    Source: inntf; the method: `solve_monotone`.

    Example:
        >>> c = tf.constant([0.5, -2.0])
        >>> s = root(c, tf.constant(3.0), tf.zeros_like(c)).x
        >>> bool(tf.reduce_all(tf.abs(s + 2 * tf.tanh(s) - c) < 1e-6))
        True
    """
    reach = tf.abs(q - 1) * (1 + 4 * float(np.finfo(target.dtype.as_numpy_dtype).eps))

    def function(s: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return s + (q - 1) * tf.tanh(s), slope(s, q)

    return solve_monotone(function, target, target - reach, target + reach, rounding)


def slope_range(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest `sech(s)^2` for s between two ends.

    Source: inntf.

    Example:
        >>> least, most = slope_range(np.array([-1.0]), np.array([0.5]))
        >>> round(float(least[0]), 4), float(most[0])
        (0.42, 1.0)
    """
    near = np.where((low <= 0) & (high >= 0), 0.0, np.minimum(np.abs(low), np.abs(high)))
    far = np.maximum(np.abs(low), np.abs(high))
    least, most = (1 / np.cosh(np.minimum(end, _FAR)) ** 2 for end in (far, near))
    return least, most
