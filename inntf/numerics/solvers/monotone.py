"""Roots of increasing functions of one number: Newton's method within a bracket, with a bound of the error."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

Increasing = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
_MOST = 200  # a bracket of float64 is halved to its last digit in far fewer


@dataclasses.dataclass(frozen=True)
class MonotoneRoot:
    """What `solve_monotone` returns, of the shape of the target.

    Attributes:
        x: the root; no gradient passes.
        error_bound: no less than the distance to the true root; infinite where nothing is known.
        evaluations: int32 scalar, evaluations of the function.
    """

    x: tf.Tensor
    error_bound: tf.Tensor
    evaluations: tf.Tensor


def solve_monotone(
    function: Increasing, target: tf.Tensor, low: tf.Tensor, high: tf.Tensor, rounding: tf.Tensor
) -> MonotoneRoot:
    r"""Solve $f(x) = c$, entry by entry, for an increasing $f$ with $f(low) \le c \le f(high)$.

    A Newton step that leaves the bracket, or does not halve the step before the last, becomes a bisection.  The error is
    bounded by signs: where $f(x - e) < c - \delta$ and $f(x + e) > c + \delta$, the root is within `e`.

    Args:
        function: value and slope at `x`, entry by entry.
        target: c.
        low: lower ends of the brackets, of the shape of the target.
        high: upper ends.
        rounding: $\delta$, bounds the error of computed values of f and of c.

    Returns:
        `MonotoneRoot`.

    Source: Press et al., "Numerical Recipes" (2007), section 9.4 (`rtsafe`); the bound: the intermediate value theorem.

    Example:
        >>> c = tf.constant([8.0])
        >>> root = solve_monotone(lambda x: (x**3, 3 * x**2), c, 0 * c, 10 + 0 * c, 1e-6 * c)
        >>> round(float(root.x[0]), 5), float(root.error_bound[0]) < 1e-4
        (2.0, True)
    """
    eps = float(np.finfo(target.dtype.as_numpy_dtype).eps)
    target, low, high = (tf.stop_gradient(part) for part in (target, low, high))

    def unfinished(x: tf.Tensor, low: Any, high: Any, before: Any, step: tf.Tensor, n: tf.Tensor) -> tf.Tensor:
        return tf.reduce_any(tf.abs(step) > eps * tf.abs(x)) & (n < _MOST)

    def improved(x: tf.Tensor, low: tf.Tensor, high: tf.Tensor, before: tf.Tensor, step: tf.Tensor, n: tf.Tensor) -> list:
        value, slope = function(x)
        off = value - target
        low, high = tf.where(off <= 0, x, low), tf.where(off >= 0, x, high)
        newton = x - off / slope
        good = (newton >= low) & (newton <= high) & (2 * tf.abs(newton - x) <= tf.abs(before))
        new = tf.where(off == 0, x, tf.where(good, newton, low + (high - low) / 2))
        return [new, low, high, step, new - x, n + 1]

    start, width = low + (high - low) / 2, high - low
    found = tf.while_loop(unfinished, improved, [start, low, high, 2 * width, width, tf.constant(0)], maximum_iterations=_MOST)
    x, n = tf.stop_gradient(found[0]), found[5]
    value, slope = function(x)
    room = tf.abs(value - target) + rounding
    reach = 2 * room / slope + 2 * eps * tf.abs(x)
    for _ in range(3):  # a slope that falls beside x needs more room
        proved = (function(x - reach)[0] < target - rounding) & (function(x + reach)[0] > target + rounding)
        reach = tf.where(proved, reach, 16 * reach)
    bound = tf.where(proved, reach, np.inf * tf.ones_like(reach))
    return MonotoneRoot(x, tf.stop_gradient(bound), n + 7)
