"""Values outside of where a block is defined: an error with the range, not a NaN some steps later."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import tensorflow as tf

from inntf.core.errors import explain
from inntf.core.refusals import refusals_are_marked

_ROUNDINGS = 16.0  # by so many epsilons an end of the range may be missed: what an inverse returns is rounded


def in_range(block: Any, value: tf.Tensor, low: float, high: float, remedy: str, slack: float = 0.0) -> tf.Tensor:
    """The value, unless an entry lies outside of `[low, high]`; NaN passes.

    Eagerly and in graphs it is an error.  XLA drops assertions, so in a graph such entries are NaN, too: a wrong density
    cannot pass for a right one.  Within `marked_refusals` they are NaN as well.

    Args:
        block: who complains, by its name.
        value: any shape.
        low: smallest value, perhaps -infinity.
        high: largest value, perhaps infinity.
        remedy: what to do.
        slack: how far outside passes, beside roundings.

    Raises:
        ValueError: eagerly; tf.errors.InvalidArgumentError: where a graph runs, with the same words.
    """
    size = max(1.0, *(abs(end) for end in (low, high) if math.isfinite(end)))
    slack += _ROUNDINGS * float(ml_dtypes.finfo(value.dtype.as_numpy_dtype).eps) * size
    outside = (value < low - slack) | (value > high + slack)
    expected = f"values in the range [{low:.6g}, {high:.6g}]"

    def said() -> str:
        received = f"values from {float(tf.reduce_min(value)):.6g} to {float(tf.reduce_max(value)):.6g}"
        return explain(block.name, received=received, expected=expected, remedy=remedy)

    def words() -> list[Any]:
        ends = [f"{block.name}: received values from", tf.reduce_min(value), "to", tf.reduce_max(value)]
        return [*ends, f"expected {expected}. {remedy}"]

    return nan_where_refused(value, ~outside, said, words)


def nan_where_refused(
    value: tf.Tensor, fine: tf.Tensor, said: Callable[[], str], words: Callable[[], Sequence[Any]]
) -> tf.Tensor:
    """The value where it is fine; the rest is refused.

    Args:
        value: any shape.
        fine: booleans of that shape.
        said: makes the words of the error, eagerly.
        words: makes those of a graph, strings and tensors.

    Raises:
        ValueError: eagerly; tf.errors.InvalidArgumentError: where a graph runs.  Within `marked_refusals` neither.
    """
    checks = []
    if not refusals_are_marked():
        if tf.executing_eagerly():
            if not bool(tf.reduce_all(fine)):
                raise ValueError(said())
            return value
        checks = [tf.debugging.Assert(tf.reduce_all(fine), words())]
    # A NaN besides the assertion: XLA drops assertions.
    with tf.control_dependencies([check for check in checks if check is not None]):
        return tf.where(fine, value, tf.constant(float("nan"), value.dtype))
