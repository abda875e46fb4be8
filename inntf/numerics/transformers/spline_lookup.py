"""The bin of a rational-quadratic spline that holds each value, with a gradient of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from inntf.core.under_xla import warn_where_slower_without_onednn
from inntf.numerics.transformers.spline_knots import Limits, inner_knots, slopes_at_knots


class SplineBin(NamedTuple):
    """Ends of a bin, `(x0, y0)` and `(x1, y1)`, and the slopes there; `(n,)` each."""

    x0: tf.Tensor
    x1: tf.Tensor
    y0: tf.Tensor
    y1: tf.Tensor
    d0: tf.Tensor
    d1: tf.Tensor


def look_up(
    value: tf.Tensor, raw: tf.Tensor, num_bins: int, bound: float, limits: Limits, tails: str, inverse: bool
) -> SplineBin:
    r"""The bin that holds each value, among the knots of `x`, or of `y` if inverse.

    Raw numbers come first and values last, so that whatever runs over the bins runs over whole rows.  The gradient is written
    out: with the shares $p$ of a side, its knots $x_k$, $x_{k+1}$ of the bin and
    $q_j = p_j (\bar x_k [j < k] + \bar x_{k+1} [j \le k])$, the raw numbers of that side get
    $\text{room}\,(q_j - p_j \sum_i q_i)$; it can be differentiated again.  The bin does not change with the value.

    Args:
        value: `(n,)`, within `[-bound, bound]`.
        raw: `(P, n)`, `P` as `parameters_of` says.
        num_bins: `K`.
        bound: half the side of the square.
        limits: smallest shares of width and height, smallest and largest derivative.
        tails: as in `spline_forward`.
        inverse: whether the values are those of `y`.

    Returns:
        `SplineBin`.

    Warns:
        UserWarning: while XLA compiles a training step for a CPU on which it is slower than without.

    Source: "Neural Spline Flows", Durkan et al. (2019), section 3.1; the gradient: inntf.

    Example:
        >>> found = look_up(tf.constant([0.5]), tf.zeros([5, 1]), 2, 1.0, (1e-3, 1e-3, 1e-3, None), "identity", False)
        >>> [float(end[0]) for end in found]
        [0.0, 1.0, 0.0, 1.0, 1.0, 1.0]
    """
    warn_where_slower_without_onednn("splines", 1.5)

    @tf.custom_gradient
    def ends(raw: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], Callable]:
        widths, x = inner_knots(raw[:num_bins], limits[0], bound)
        heights, y = inner_knots(raw[num_bins : 2 * num_bins], limits[1], bound)
        slopes, rises = slopes_at_knots(raw[2 * num_bins :], *limits[2:])
        one = tf.ones_like(value)[None]
        zero, edge = tf.zeros_like(one), bound * one
        after = tf.cast(value >= (y if inverse else x), value.dtype)
        # Ones up to the bin minus ones before it: a one-hot column.  Cheaper here than a gather, whose gradient scatters.
        upto, before = tf.concat([one, after], 0), tf.concat([after, zero], 0)
        here = upto - before
        at_ends = [tf.concat([-edge, x], 0), tf.concat([x, edge], 0), tf.concat([-edge, y], 0), tf.concat([y, edge], 0)]
        at_ends += _at_ends(slopes, one, tails)

        def gradient(*given: tf.Tensor) -> tf.Tensor:
            sides = []
            for shares, smallest, (first, last) in ((widths, limits[0], given[:2]), (heights, limits[1], given[2:4])):
                moved = shares * (before * first + upto * last)
                room = 2.0 * bound * (1.0 - num_bins * smallest)
                sides.append(room * (moved - shares * tf.reduce_sum(moved, 0)))
            return tf.concat([*sides, rises * _from_ends(here * given[4], here * given[5], zero, tails)], 0)

        return tuple(tf.reduce_sum(here * end, 0) for end in at_ends), gradient

    return SplineBin(*ends(raw))


def _at_ends(slopes: tf.Tensor, one: tf.Tensor, tails: str) -> list[tf.Tensor]:
    """Slopes at the left and at the right ends of the bins, `(K, n)`."""
    if tails == "identity":
        return [tf.concat([one, slopes], 0), tf.concat([slopes, one], 0)]
    if tails == "circular":
        return [slopes, tf.concat([slopes[1:], slopes[:1]], 0)]
    return [slopes[:-1], slopes[1:]]


def _from_ends(left: tf.Tensor, right: tf.Tensor, zero: tf.Tensor, tails: str) -> tf.Tensor:
    """Its transpose: what slopes at ends, `(K, n)` each, are to the free ones."""
    if tails == "identity":
        return left[1:] + right[:-1]
    if tails == "circular":
        return left + tf.concat([right[-1:], right[:-1]], 0)
    return tf.concat([left, zero], 0) + tf.concat([zero, right], 0)
