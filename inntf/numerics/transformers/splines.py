"""Monotonic rational-quadratic splines: forward, inverse, log-derivative, and the exact range of their slope.

Every sum below has positive terms only, so nothing cancels: not at the knots, not in the inverse, not in float32.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from inntf.numerics.transformers.spline_knots import Limits, check_limits, check_width, slopes_at_knots
from inntf.numerics.transformers.spline_lookup import look_up


def spline_forward(
    x: tf.Tensor,
    raw: tf.Tensor,
    *,
    num_bins: int,
    bound: float,
    min_bin_width: float = 1e-3,
    min_bin_height: float = 1e-3,
    min_derivative: float = 1e-3,
    max_derivative: float | None = None,
    tails: str = "identity",
) -> tuple[tf.Tensor, tf.Tensor]:
    """Elementwise monotonic rational-quadratic spline on `[-bound, bound]`, the identity outside by default.

    In the bin `[x_k, x_k+1] -> [y_k, y_k+1]` of width `w` and height `h`, with `s = h / w`, knot derivatives `d_k`,
    `d_k+1`, `xi = (x - x_k) / w` and `zeta = 1 - xi`:

        z = y_k + h xi (s xi + d_k zeta) / (s (xi^2 + zeta^2) + (d_k + d_k+1) xi zeta)

    Zero parameters give the identity.  Gradients are finite everywhere, outside and at the knots included.

    Args:
        x: any shape `S`, float32 or float64.
        raw: unconstrained parameters, `S + (3 num_bins - 1,)`: widths, heights, inner derivatives; cast to x's dtype.  It
            broadcasts with x, but for sizes that both leave open in a graph: these have to be equal.
        num_bins: number of bins, at least 1.
        bound: half the side of the square in which the spline acts.
        min_bin_width: smallest bin width, as a fraction of `2 bound`.
        min_bin_height: smallest bin height, as a fraction of `2 bound`.
        min_derivative: smallest derivative at an inner knot, in (0, 1).
        max_derivative: largest derivative at an inner knot, above 1; then the slope is bounded both ways.  `None` is
            the paper's `min_derivative + softplus(raw + c)`, without an upper end.
        tails: `"identity"`: outside `z = x`, and the outer slopes are 1; `"free"`: they are parameters, and outside goes
            on the straight line of that slope, through `(bound, bound)` and `(-bound, -bound)`; `"none"`: they are
            parameters, too, and there is no outside: what lies there counts as an end; `"circular"`: the same, with one
            slope for both ends.  `raw` then holds 2 numbers more, 2 more, or 1 more.

    Returns:
        `z` and `log dz/dx`, both of shape `S`.

    Raises:
        ValueError: if `raw` has the wrong width or the minima leave no room.

    Source: "Neural Spline Flows", Durkan et al. (2019), eqs 4-8; the positive forms are ours.

    Example:
        >>> z, log_derivative = spline_forward(tf.constant([0.5, 9.0]), tf.zeros([2, 11]), num_bins=4, bound=3.0)
        >>> bool(tf.reduce_all(tf.abs(z - [0.5, 9.0]) < 1e-6))
        True
    """
    limits = (min_bin_width, min_bin_height, min_derivative, max_derivative)
    value, rows = _in_rows(x, raw, num_bins, limits, tails)
    inside, inner = _clipped(value, bound)
    x0, x1, y0, y1, d0, d1 = look_up(inner, rows, num_bins, bound, limits, tails, inverse=False)
    width, height = x1 - x0, y1 - y0
    xi, zeta = (inner - x0) / width, (x1 - inner) / width
    slope = height / width
    share, log_derivative = _share_and_log_derivative(xi, zeta, slope, d0, d1)
    moved = _with_tails(tails, value, inner, inside, y0 + height * share, log_derivative, rows, limits, 1)
    return _as_before(x, raw, *moved)


def spline_inverse(
    z: tf.Tensor,
    raw: tf.Tensor,
    *,
    num_bins: int,
    bound: float,
    min_bin_width: float = 1e-3,
    min_bin_height: float = 1e-3,
    min_derivative: float = 1e-3,
    max_derivative: float | None = None,
    tails: str = "identity",
) -> tuple[tf.Tensor, tf.Tensor]:
    """Inverse of `spline_forward` with the same parameters, in closed form.

    With `t = (z - y_k) / h`, `q = d_k (1 - t) - d_k+1 t` and the discriminant `q^2 + 4 s^2 t (1 - t) >= 0`,

        xi = 2 s t / (p + 2 s t),   p = sqrt(q^2 + 4 s^2 t (1 - t)) + q.

    Args:
        z: any shape `S`.
        raw: as in `spline_forward`.
        num_bins: as in `spline_forward`.
        bound: as in `spline_forward`.
        min_bin_width: as in `spline_forward`.
        min_bin_height: as in `spline_forward`.
        min_derivative: as in `spline_forward`.
        max_derivative: as in `spline_forward`.
        tails: as in `spline_forward`.

    Returns:
        `x` and `log dx/dz`, both of shape `S`.

    Raises:
        ValueError: if `raw` has the wrong width or the minima leave no room.

    Source: "Neural Spline Flows", Durkan et al. (2019), eqs 6-8; the discriminant as a sum of squares is ours.

    Example:
        >>> x, log_derivative = spline_inverse(tf.constant([0.5]), tf.zeros([1, 11]), num_bins=4, bound=3.0)
        >>> bool(tf.abs(x[0] - 0.5) < 1e-6)
        True
    """
    limits = (min_bin_width, min_bin_height, min_derivative, max_derivative)
    value, rows = _in_rows(z, raw, num_bins, limits, tails)
    inside, inner = _clipped(value, bound)
    x0, x1, y0, y1, d0, d1 = look_up(inner, rows, num_bins, bound, limits, tails, inverse=True)
    width, height = x1 - x0, y1 - y0
    t, rest = (inner - y0) / height, (y1 - inner) / height
    slope = height / width
    q = d0 * rest - d1 * t
    product = 4.0 * tf.square(slope) * t * rest
    root = tf.sqrt(tf.square(q) + product)
    # root + q cancels for q < 0: there it equals product / (root - q).  `where`, not abs: its gradient at q = 0 is right.
    positive = q >= 0.0
    larger = root + tf.where(positive, q, -q)
    p = tf.where(positive, larger, product / larger)
    total = p + 2.0 * slope * t
    xi, zeta = 2.0 * slope * t / total, p / total
    log_derivative = -_share_and_log_derivative(xi, zeta, slope, d0, d1)[1]
    moved = _with_tails(tails, value, inner, inside, x0 + width * xi, log_derivative, rows, limits, -1)
    return _as_before(z, raw, *moved)


def spline_slope_bounds(
    *,
    num_bins: int,
    min_bin_width: float = 1e-3,
    min_bin_height: float = 1e-3,
    min_derivative: float = 1e-3,
    max_derivative: float | None = None,
) -> tuple[float, float]:
    """Smallest and largest slope `dz/dx` that any parameters can give; `(0, inf)` without a `max_derivative`.

    The slope inside a bin grows with `s = h / w`, so its extremes lie at the extremes of `s`.  With `m`, `M` the
    derivative limits the largest is `max(M, 2 s^2 / (s + m))`; the smallest is at a corner of `{m, M}^2`, where the
    stationary points in `xi` are roots of a cubic.  `Lip(forward)` is the second value, `Lip(inverse)` one over the first.

    Args:
        num_bins: as in `spline_forward`.
        min_bin_width: as in `spline_forward`.
        min_bin_height: as in `spline_forward`.
        min_derivative: as in `spline_forward`.
        max_derivative: as in `spline_forward`.

    Returns:
        `(lowest, highest)` as Python floats.

    Raises:
        ValueError: if the minima leave no room.

    Source: inntf; the spline is that of "Neural Spline Flows", Durkan et al. (2019).

    Example:
        >>> low, high = spline_slope_bounds(num_bins=1, max_derivative=2.0)
        >>> (low, high)
        (1.0, 1.0)
    """
    check_limits(num_bins, min_bin_width, min_bin_height, min_derivative, max_derivative)
    if num_bins == 1:
        return 1.0, 1.0  # one bin on a square with end derivatives 1
    if max_derivative is None or math.isinf(max_derivative):
        return 0.0, math.inf
    steepest = (1.0 - (num_bins - 1) * min_bin_height) / min_bin_width
    flattest = min_bin_height / (1.0 - (num_bins - 1) * min_bin_width)
    low = min(_smallest_slope(flattest, a, b) for a, b in _corners(min_derivative, max_derivative))
    return low, max(max_derivative, 2.0 * steepest**2 / (steepest + min_derivative))


def _clipped(value: tf.Tensor, bound: float) -> tuple[tf.Tensor, tf.Tensor]:
    # Clipping comes before the arithmetic: the branch that `where` drops then has finite gradients as well.
    return tf.abs(value) <= bound, tf.clip_by_value(value, -bound, bound)


def _in_rows(value: tf.Tensor, raw: tf.Tensor, num_bins: int, limits: Limits, tails: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Values `(n,)` and their raw numbers `(P, n)`, of the values' dtype: what runs over bins then runs over whole rows."""
    check_limits(num_bins, *limits)
    check_width(raw, num_bins, tails)
    raw = tf.cast(raw, value.dtype)
    if not _alike(value.shape, raw.shape[:-1]):
        shape = tf.broadcast_dynamic_shape(tf.shape(value), tf.shape(raw)[:-1])
        value, raw = tf.broadcast_to(value, shape), tf.broadcast_to(raw, tf.concat([shape, tf.shape(raw)[-1:]], 0))
    return tf.reshape(value, [-1]), tf.transpose(tf.reshape(raw, [-1, raw.shape[-1]]))


def _alike(a: tf.TensorShape, b: tf.TensorShape) -> bool:
    """Whether shapes are equal; two sizes that are not known are taken to be."""
    return a.rank is not None and a.rank == b.rank and all(m == n for m, n in zip(a, b, strict=True))


def _as_before(value: tf.Tensor, raw: tf.Tensor, *parts: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Parts `(n,)` in the shape that the values had, or have with their raw numbers."""
    static, shape = value.shape, tf.shape(value)
    if not _alike(value.shape, raw.shape[:-1]):
        static = tf.broadcast_static_shape(value.shape, raw.shape[:-1])
        shape = tf.broadcast_dynamic_shape(shape, tf.shape(raw)[:-1])
    return tuple(tf.ensure_shape(tf.reshape(part, shape), static) for part in parts)


def _with_tails(
    tails: str,
    value: tf.Tensor,
    inner: tf.Tensor,
    inside: tf.Tensor,
    moved: tf.Tensor,
    log_derivative: tf.Tensor,
    rows: tf.Tensor,
    limits: Limits,
    power: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Outside of the square: straight lines, of slope 1 or the outer derivative to the `power`, where there is an outside."""
    if tails in ("none", "circular"):
        return moved, log_derivative
    if tails == "identity":
        return tf.where(inside, moved, value), tf.where(inside, log_derivative, tf.zeros_like(log_derivative))
    first = rows.shape[0] // 3 * 2  # of 3 K + 1 rows, with K widths and K heights before them
    slope, _ = slopes_at_knots(tf.where(value > 0.0, rows[-1], rows[first]), *limits[2:])
    slope = slope if power == 1 else 1.0 / slope
    return tf.where(inside, moved, inner + slope * (value - inner)), tf.where(inside, log_derivative, tf.math.log(slope))


def _share_and_log_derivative(
    xi: tf.Tensor, zeta: tf.Tensor, slope: tf.Tensor, d0: tf.Tensor, d1: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """How far up the bin, and the logarithm of the derivative there."""
    mixed, left, right = xi * zeta, tf.square(xi), tf.square(zeta)
    per_denominator = 1.0 / (slope * (left + right) + (d0 + d1) * mixed)
    scale = slope * per_denominator
    numerator = d1 * left + 2.0 * slope * mixed + d0 * right
    # One logarithm; in this order nothing leaves the range of float32 that its factors do not leave.
    return (slope * left + d0 * mixed) * per_denominator, tf.math.log(scale * (scale * numerator))


def _corners(low: float, high: float) -> tuple[tuple[float, float], ...]:
    return (low, low), (low, high), (high, high)


def _smallest_slope(slope: float, d0: float, d1: float) -> float:
    xi = np.poly1d([1.0, 0.0])
    zeta = 1.0 - xi
    top = d1 * xi * xi + 2.0 * slope * xi * zeta + d0 * zeta * zeta
    bottom = slope * (xi * xi + zeta * zeta) + (d0 + d1) * xi * zeta
    stationary = (top.deriv() * bottom - 2.0 * top * bottom.deriv()).roots
    points = np.clip(np.concatenate([[0.0, 1.0], stationary.real]), 0.0, 1.0)
    return float(np.min(slope**2 * top(points) / bottom(points) ** 2))
