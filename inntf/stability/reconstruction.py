"""Reconstruction error: what is left of `x` after a pass forward and back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from inntf.core.errors import explain
from inntf.stability.block_functions import BlockFunctions


class ErrorSummary(NamedTuple):
    """Order statistics of the finite errors, and the share of the others; plain floats.

    Non-finite errors are counted, never averaged: read `nonfinite_share` first.  Without a single finite error the
    statistics are infinite.

    Attributes:
        median: of the finite errors, `inf` if there are none.
        p99: their 99 % quantile, interpolated.
        max: the largest of them.
        nonfinite_share: errors that are NaN or infinite over `count`, in `[0, 1]`.
        count: number of errors, the others included.

    Source: inntf; non-finite errors are told apart as in Behrmann et al., "Understanding and Mitigating Exploding
    Inverses in Invertible Neural Networks" (2021), table 2.

    Example:
        >>> summarize([1.0, float("inf")])
        ErrorSummary(median=1.0, p99=1.0, max=1.0, nonfinite_share=0.5, count=2)
    """

    median: float
    p99: float
    max: float
    nonfinite_share: float
    count: int  # type: ignore[assignment]


class RepeatedReconstruction(NamedTuple):
    """What `repeated_reconstruction` returns: `x_k = inverse(forward(x_{k-1}))` and how far each is from `x_0`.

    Attributes:
        samples: `(passes + 1, batch, ...)`, the data first.
        errors: `(passes, batch)`, `|x_k - x_0|_2` after each pass.

    Source: Behrmann et al., "On the Invertibility of Invertible Neural Networks", figure 4.

    Example:
        >>> from inntf.blocks import AdditiveCoupling
        >>> repeated_reconstruction(AdditiveCoupling(), tf.ones([3, 4]), passes=2).errors.numpy().tolist()
        [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """

    samples: tf.Tensor
    errors: tf.Tensor


def reconstruction_error(block: Any, x: Any, condition: Any = None) -> tf.Tensor:
    """Per-sample `|x - inverse(forward(x))|_2`, numerically: zero on paper, and NaN or infinite where the inverse breaks.

    Args:
        block: a block, or a model around one.
        x: `(batch, dim)` or `(batch, height, width, channels)`, or with other leading dimensions.
        condition: of the block, if it has one.

    Returns:
        `(batch,)`, in the block's dtype; the norm is summed in float64, so it does not overflow on its own.

    Raises:
        ValueError, TypeError: for data that the block refuses.

    Source: "On the Invertibility of Invertible Neural Networks", section 4.

    Example:
        >>> from inntf.blocks import AdditiveCoupling
        >>> reconstruction_error(AdditiveCoupling(), tf.ones([3, 4])).numpy().tolist()
        [0.0, 0.0, 0.0]
    """
    maps = BlockFunctions.of(block, x, condition)
    return maps.restore(distance(maps.x, maps.inverse(maps.forward(maps.x))))


def repeated_reconstruction(block: Any, x: Any, passes: int = 9, condition: Any = None) -> RepeatedReconstruction:
    """Pass the same batch forward and back again and again: an unstable block drifts, visibly.

    Args:
        block: a block, or a model around one.
        x: `(batch, dim)` or `(batch, height, width, channels)`.
        passes: number of passes forward and back.
        condition: of the block, if it has one.

    Returns:
        `RepeatedReconstruction`: the samples after each pass, the data first, and their errors.

    Raises:
        ValueError: if `passes` is not positive, or for data that the block refuses.

    Source: "On the Invertibility of Invertible Neural Networks", figure 4.

    Example:
        >>> from inntf.blocks import AdditiveCoupling
        >>> repeated_reconstruction(AdditiveCoupling(), tf.ones([3, 4]), passes=2).samples.shape
        TensorShape([3, 3, 4])
    """
    return pass_repeatedly(BlockFunctions.of(block, x, condition), passes)


def pass_repeatedly(maps: BlockFunctions, passes: int) -> RepeatedReconstruction:
    """As `repeated_reconstruction`, of maps that are known."""
    if passes < 1:
        raise ValueError(explain("repeated_reconstruction", received=passes, expected="at least one pass", remedy="Raise it."))
    samples = [maps.x]
    for _ in range(passes):
        samples.append(maps.inverse(maps.forward(samples[-1])))
    return RepeatedReconstruction(tf.stack(samples), tf.stack([distance(maps.x, sample) for sample in samples[1:]]))


def most_changed(errors: tf.Tensor, count: int = 6) -> np.ndarray:
    """Indices of the samples with the largest errors after the last pass, those that are not finite first."""
    last = np.nan_to_num(np.asarray(errors[-1], np.float64), nan=np.inf, posinf=np.inf)
    return np.argsort(-last, kind="stable")[:count]


def summarize(errors: Any) -> ErrorSummary:
    """Median, 99 % quantile and maximum of the finite errors, and the share of non-finite ones.

    Args:
        errors: any shape; tensor or array.

    Returns:
        `ErrorSummary`.

    Raises:
        ValueError: if there are no errors at all.

    Source: inntf; non-finite errors are told apart as in Behrmann et al., "Understanding and Mitigating Exploding
    Inverses in Invertible Neural Networks" (2021), table 2.

    Example:
        >>> summarize([1.0, 2.0, 3.0, float("nan")])
        ErrorSummary(median=2.0, p99=2.98, max=3.0, nonfinite_share=0.25, count=4)
    """
    values = np.asarray(errors, np.float64).reshape(-1)
    if not values.size:
        raise ValueError(explain("summarize", received="no errors", expected="at least one", remedy="Pass a batch of data."))
    finite = values[np.isfinite(values)]
    share = 1.0 - finite.size / values.size
    if not finite.size:
        return ErrorSummary(np.inf, np.inf, np.inf, share, values.size)
    median, p99 = np.quantile(finite, [0.5, 0.99])
    return ErrorSummary(float(median), float(p99), float(finite.max()), share, values.size)


def distance(x: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Per-sample `|x - other|_2`, summed in float64."""
    difference = tf.cast(x, tf.float64) - tf.cast(other, tf.float64)
    return tf.cast(tf.sqrt(tf.reduce_sum(difference**2, list(range(1, x.shape.rank)))), x.dtype)
