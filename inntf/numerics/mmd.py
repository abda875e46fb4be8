"""Maximum mean discrepancy between two sets of samples."""

from __future__ import annotations

from typing import Any, Literal

import tensorflow as tf

from inntf.core.errors import explain
from inntf.numerics.kernel_sums import kernel_sums
from inntf.numerics.kernels import X_SIDE_KERNEL, Kernel

Estimator = Literal["biased", "unbiased", "linear"]
ESTIMATORS = ("biased", "unbiased", "linear")


def mmd_squared(x: Any, y: Any, kernel: Kernel = X_SIDE_KERNEL, estimator: Estimator = "biased") -> tf.Tensor:
    r"""The squared maximum mean discrepancy of two sets of samples.

    $\mathrm{MMD}^2 = E\, k(x, x') - 2\, E\, k(x, y) + E\, k(y, y')$ with

    - `"biased"`: means over all pairs, a point with itself among them; never negative, and about `(1/n + 1/m) k(0)` too large;
    - `"unbiased"`: without the pairs of a point with itself; around zero for samples of one distribution, so negative at times;
    - `"linear"`: the mean of `k(x1, x2) + k(y1, y2) - k(x1, y2) - k(x2, y1)` over disjoint pairs of neighbours, for time and
      memory that grow like `n`; unbiased, of a larger variance.  With sets of two sizes the rest of the larger one is unused.

    The first two work in tiles: time grows like `n * m`, memory does not, in the gradient neither.

    Args:
        x: `(..., n, dim)`, floating.
        y: `(..., m, dim)` of the same dtype; leading dimensions broadcast.
        kernel: of the squared distance; also any function that acts entry by entry.
        estimator: see above.

    Returns:
        `(...)`, the dtype of the samples (float32 for narrower ones).

    Raises:
        TypeError: for samples that are not floating, or of two dtypes.
        ValueError: for an unknown estimator, shapes that do not fit, or too few samples (two for the last two estimators).

    Source: Gretton et al., "A kernel two-sample test" (2012), eqs. 3 and 5, lemma 14.

    Example:
        >>> from inntf.numerics import InverseQuadratic
        >>> x = tf.constant([[0.0], [1.0]])
        >>> float(mmd_squared(x, x)), float(mmd_squared(x, x + 100.0, InverseQuadratic([1.0])))
        (0.0, 1.5)
    """
    x, y = _samples(x, y, least=1 if estimator == "biased" else 2)
    if estimator not in ESTIMATORS:
        raise ValueError(explain("mmd_squared", received=f"estimator={estimator!r}", expected=f"one of {ESTIMATORS}"))
    lead = tf.broadcast_static_shape(x.shape[:-2], y.shape[:-2])
    shape = tf.broadcast_dynamic_shape(tf.shape(x)[:-2], tf.shape(y)[:-2])
    x, y = _flat(x, shape), _flat(y, shape)
    value = _linear(x, y, kernel) if estimator == "linear" else _quadratic(x, y, kernel, estimator == "biased")
    value = tf.reshape(value, shape)
    value.set_shape(lead)
    return value


def _quadratic(x: tf.Tensor, y: tf.Tensor, kernel: Kernel, biased: bool) -> tf.Tensor:
    n, m = (tf.cast(tf.shape(t)[1], tf.float64) for t in (x, y))

    def within(points: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        total = _total(points, points, kernel)
        if biased:
            return total / number**2
        of_one = tf.cast(kernel(tf.zeros([], points.dtype)), tf.float64)
        return (total - number * of_one) / (number * (number - 1))

    # float64 for the differences of means that nearly agree; the kernel itself stays in the dtype of the samples.
    return tf.cast(within(x, n) + within(y, m) - 2 * _total(x, y, kernel) / (n * m), x.dtype)


def _total(x: tf.Tensor, y: tf.Tensor, kernel: Kernel) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(kernel_sums(x, y, kernel), tf.float64), -1)


def _linear(x: tf.Tensor, y: tf.Tensor, kernel: Kernel) -> tf.Tensor:
    pairs = tf.minimum(tf.shape(x)[1], tf.shape(y)[1]) // 2
    (x1, x2), (y1, y2) = ((t[:, : 2 * pairs : 2], t[:, 1 : 2 * pairs : 2]) for t in (x, y))

    def of(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        return kernel(tf.reduce_sum(tf.math.squared_difference(a, b), -1))

    return tf.reduce_mean(of(x1, x2) + of(y1, y2) - of(x1, y2) - of(x2, y1), -1)


def _flat(points: tf.Tensor, lead: tf.Tensor) -> tf.Tensor:
    """`(..., n, dim)` as `(batch, n, dim)`."""
    n, dim = points.shape[-2:]
    if points.shape.rank == 2 and lead.shape[0] == 0:
        return points[None]
    whole = tf.broadcast_to(points, tf.concat([lead, tf.shape(points)[-2:]], 0))
    batch = whole.shape[:-2].num_elements() if whole.shape.rank is not None else None
    flat = tf.reshape(whole, tf.concat([[tf.reduce_prod(lead)], tf.shape(points)[-2:]], 0))
    flat.set_shape([batch, n, dim])
    return flat


def _samples(x: Any, y: Any, least: int) -> tuple[tf.Tensor, tf.Tensor]:
    x, y = tf.convert_to_tensor(x), tf.convert_to_tensor(y)
    if x.dtype != y.dtype or not x.dtype.is_floating:
        raise TypeError(explain("mmd", received=f"{x.dtype.name} and {y.dtype.name}", expected="samples of one floating dtype"))
    shapes = f"samples of shapes {x.shape} and {y.shape}"
    fits = min(x.shape.rank, y.shape.rank) >= 2 and x.shape[-1:].is_compatible_with(y.shape[-1:])
    if not fits:
        raise ValueError(explain("mmd", received=shapes, expected="(..., n, dim) and (..., m, dim)"))
    if any(t.shape[-2] is not None and t.shape[-2] < least for t in (x, y)):
        raise ValueError(explain("mmd", received=shapes, expected=f"at least {least} samples in each set"))
    wide = x.dtype if x.dtype.size >= 4 else tf.float32
    return tf.cast(x, wide), tf.cast(y, wide)
