"""Numbers of samples, temperatures and seeds as users give them: checked before TensorFlow wraps, rounds or spreads them."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import tensorflow as tf

from inntf.core.errors import explain

_MOST = 2**31 - 1


def sample_shape(who: str, value: Any) -> list[int] | tf.Tensor:
    """A number or shape of samples: a list of integers where it is known, an int32 vector otherwise.

    Args:
        who: complains.
        value: an integer, a shape, or a tensor of integers.

    Raises:
        ValueError: for fractions, NaN, negative numbers, and more samples than int32 counts
            (`tf.errors.InvalidArgumentError` where a graph runs); TypeError: for what is no number.
    """
    if isinstance(value, tf.TensorShape):
        value = value.as_list()
    if tf.is_tensor(value) or isinstance(value, tf.Variable):
        known = tf.get_static_value(value)
        if known is None:
            return _unknown_shape(who, tf.convert_to_tensor(value))
        value = known
    if isinstance(value, list | tuple) and any(tf.is_tensor(part) and tf.get_static_value(part) is None for part in value):
        return _unknown_shape(who, tf.stack([tf.cast(part, tf.int64) for part in value]))
    counts = [_count(who, part, value) for part in _parts(who, value)]
    if math.prod(counts) > _MOST:
        raise _refused(who, value)
    return counts


def temperature(who: str, value: Any, dtype: Any) -> tf.Tensor:
    """A finite temperature of at least 0, as a scalar tensor.

    Raises:
        ValueError: for a negative or non-finite one, or several (`tf.errors.InvalidArgumentError` where a graph runs);
            TypeError: for what is no number.
    """
    known = tf.get_static_value(value) if tf.is_tensor(value) else value
    if value is None:
        raise TypeError(explain(who, received="temperature=None", expected="a number", remedy="1 is the model itself."))
    if known is not None:
        number = np.asarray(known.numpy() if isinstance(known, tf.Variable) else known)
        if number.dtype.kind not in "fiu" and number.dtype.name != "bfloat16":
            raise TypeError(
                explain(who, received=f"temperature={value!r}", expected="a number", remedy="1 is the model itself.")
            )
        if number.ndim or not np.isfinite(number.astype(np.float64)) or number < 0:
            raise _wrong_temperature(who, known)
        return tf.cast(value, dtype)
    if value.shape.rank not in (0, None):
        raise _wrong_temperature(who, f"a tensor of shape {value.shape}")
    value = tf.cast(value, dtype)
    right = tf.math.is_finite(value) & (value >= 0)
    text = [f"{who}: received temperature =", value, "expected a finite number >= 0. 1 is the model itself."]
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(right), text)]):
        return tf.where(right, value, tf.constant(math.nan, value.dtype))  # XLA drops the assertion


def _parts(who: str, value: Any) -> list[Any]:
    array = np.asarray(value, dtype=object) if isinstance(value, list | tuple) else np.asarray(value)
    if array.ndim > 1:
        raise _refused(who, value)
    return list(array.reshape(-1))


def _count(who: str, part: Any, whole: Any) -> int:
    part = part.numpy() if tf.is_tensor(part) else part
    if isinstance(part, bool | np.bool_) or part is None or isinstance(part, str | bytes):
        raise TypeError(_text(who, whole))
    try:
        count = operator.index(part)
    except TypeError:
        raise (_refused(who, whole) if isinstance(part, float | np.floating) else TypeError(_text(who, whole))) from None
    if not 0 <= count <= _MOST:
        raise _refused(who, whole)
    return count


def _unknown_shape(who: str, value: tf.Tensor) -> tf.Tensor:
    if not value.dtype.is_integer or (value.shape.rank or 0) > 1:
        raise _refused(who, f"a {value.dtype.name} tensor of shape {value.shape}")
    wide = tf.reshape(tf.cast(value, tf.int64), [-1])
    # The product in floating numbers: that of integers might wrap round.
    right = tf.reduce_all(wide >= 0) & (tf.reduce_prod(tf.cast(wide, tf.float64)) <= _MOST)
    text = [f"{who}: received a number of samples", wide, "expected integers >= 0, fewer than 2**31 in all."]
    with tf.control_dependencies([tf.debugging.Assert(right, text)]):
        return tf.cast(wide, tf.int32)


def _text(who: str, value: Any) -> str:
    return explain(
        who,
        received=f"{value!r} samples",
        expected="an integer >= 0 or a shape, fewer than 2**31 samples in all",
        remedy="Say sample(1000), or sample((10, 100)); draw more in several calls.",
    )


def _refused(who: str, value: Any) -> ValueError:
    return ValueError(_text(who, value))


def _wrong_temperature(who: str, value: Any) -> ValueError:
    return ValueError(
        explain(who, received=f"temperature={value}", expected="one finite number >= 0", remedy="1 is the model itself.")
    )
