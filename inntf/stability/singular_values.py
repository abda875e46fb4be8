"""Singular values of the Jacobian of a block, per sample, with or without the Jacobian."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import tensorflow as tf

from inntf.core.errors import explain
from inntf.numerics.extreme_singular_values import exact_extremes
from inntf.stability.block_functions import BlockFunctions
from inntf.stability.block_products import extremes
from inntf.stability.precision import shared_float64_copy

_EXACT_UP_TO = 256  # dimensions; above, a Jacobian costs more than some dozens of products of either direction
_NUMBERS_A_PASS = 2**16  # of all rows of a Jacobian that are computed at once


class SingularValues(NamedTuple):
    """Extreme singular values of the forward Jacobian; tensors of the batch shape, float64 or bool.

    Attributes:
        largest: the Lipschitz constant of `forward` at the sample.
        smallest: one over the Lipschitz constant of `inverse` at `forward(x)`; NaN where the inverse gives none.
        condition_number: `largest / smallest`.
        converged: whether the iterations reached their tolerance, in both directions.
        consistent: whether the inverse's Jacobian inverts the forward's, as far as looked at.  Where not, the inverse is
            numerically wrong (or beyond this precision), and `smallest` is only an upper bound.
        condition_at_least: a lower bound on the condition number from the forward Jacobian alone, which holds however
            broken the inverse is.
        nonfinite: number of samples where a Jacobian product was not finite, as an integer.
        method: `"lanczos"` or `"exact"`.

    Source: Behrmann et al., "On the Invertibility of Invertible Neural Networks", table 3 (values of `dz/dx` at data).

    Example:
        >>> from inntf.blocks import Permutation
        >>> values = singular_values(Permutation.reverse(), tf.ones([2, 3]))
        >>> values.largest.shape, round(float(values.smallest[0]), 6), values.method
        (TensorShape([2]), 1.0, 'exact')
    """

    largest: tf.Tensor
    smallest: tf.Tensor
    condition_number: tf.Tensor
    converged: tf.Tensor
    consistent: tf.Tensor
    condition_at_least: tf.Tensor
    nonfinite: int
    method: str


def singular_values(
    block: Any,
    x: Any,
    condition: Any = None,
    method: str = "auto",
    *,
    iterations: int = 100,
    tolerance: float = 1e-3,
    seed: int = 0,
    precision: str | None = None,
) -> SingularValues:
    """Largest and smallest singular value of `dz/dx` at each sample.

    `"lanczos"` needs only Jacobian products: the largest value of the forward map, and the smallest as one over the largest
    of the inverse map at `z = forward(x)`.  If the inverse is numerically broken that second number may be wrong, so it is
    checked against the forward Jacobian (`inntf.numerics.lanczos_extremes`) and flagged in `consistent`; the reported
    value is then the bound that the forward Jacobian gives.  `"exact"` takes the whole Jacobian and its SVD.  Either way a
    value below the rounding of the forward Jacobian is read off the inverse.  Leading blocks of a chain that round to levels
    (`Dequantize`) are no bijections; they are applied to `x`, and the values are those of the rest.

    Args:
        block: a block, or a model around one.
        x: `(batch, dim)` or `(batch, height, width, channels)`, or with other leading dimensions.
        condition: of the block, if it has one.
        method: `"lanczos"`, `"exact"`, or `"auto"`: exact up to 256 dimensions.
        iterations: Lanczos: at most that many products a direction.
        tolerance: Lanczos: relative residual, within which there is a singular value; the error is about its square.
        seed: Lanczos: of the starting vectors.
        precision: `"float64"` measures a float64 copy of the block: the Jacobian of the mathematics, where the default
            measures that of the block as it computes.

    Returns:
        `SingularValues`.

    Raises:
        ValueError: for an unknown method or precision, or data that the block refuses.

    Source: "On the Invertibility of Invertible Neural Networks", table 3; Golub and Kahan (1965) for the iteration.

    Example:
        >>> from inntf.blocks import ActNorm
        >>> block = ActNorm(); _ = block.initialize(tf.constant([[0.0, 0.0], [2.0, 8.0]]))
        >>> singular_values(block, tf.zeros([1, 2])).condition_number.numpy()
        array([4.])
    """
    if method not in ("auto", "lanczos", "exact"):
        raise ValueError(explain("singular_values", received=f"method={method!r}", expected="'auto', 'lanczos' or 'exact'"))
    if precision not in (None, "float64"):
        raise ValueError(explain("singular_values", received=f"precision={precision!r}", expected="None or 'float64'"))
    maps = BlockFunctions.of(block, x, condition).smooth()
    if precision is not None:
        maps = maps.wide(shared_float64_copy(maps.block))
    size = math.prod(maps.x.shape[1:])
    if method == "auto":
        method = "exact" if size <= _EXACT_UP_TO else "lanczos"
    if method == "exact":
        rows = min(size, max(1, _NUMBERS_A_PASS // max(1, size * int(maps.x.shape[0]))))
        found = exact_extremes(maps.forward, maps.inverse, maps.x, rows=rows)
    else:
        found = extremes(maps, iterations=iterations, tolerance=tolerance, seed=seed)
    return SingularValues(
        largest=maps.restore(found.largest),
        smallest=maps.restore(found.smallest),
        condition_number=maps.restore(found.largest / found.smallest),
        converged=maps.restore(found.converged),
        consistent=maps.restore(found.consistent),
        condition_at_least=maps.restore(found.largest / found.smallest_at_most),
        nonfinite=int(tf.math.count_nonzero(~found.finite)),
        method=method,
    )


def condition_number(block: Any, x: Any, condition: Any = None, **options: Any) -> tf.Tensor:
    """Ratio of the largest to the smallest singular value of `dz/dx` at each sample.

    Args:
        block: a block, or a model around one.
        x: `(batch, dim)` or `(batch, height, width, channels)`, or with other leading dimensions.
        condition: of the block, if it has one.
        **options: of `singular_values`, which also tells how far the number can be trusted.

    Returns:
        `(batch,)` in float64; NaN where the inverse gives no smallest value.

    Raises:
        ValueError: as `singular_values`.

    Source: "On the Invertibility of Invertible Neural Networks", section 4.

    Example:
        >>> from inntf.blocks import Permutation
        >>> condition_number(Permutation.reverse(), tf.ones([2, 3])).numpy().tolist()
        [1.0, 1.0]
    """
    return singular_values(block, x, condition, **options).condition_number
