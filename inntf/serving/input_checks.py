"""Checks of what a served signature is given, inside its graph: they hold wherever the SavedModel is loaded."""

from __future__ import annotations

import tensorflow as tf

_POSITIVE_INT = 0x7FFFFFFF
LARGEST = 2**28  # numbers in the answer to one request, a gigabyte of float32


def checked(signature: str, value: tf.Tensor, spec: tf.TensorSpec) -> tf.Tensor:
    """The value, once its shape has been compared with the declared one where the graph runs.

    A signature's `TensorSpec` is a description: TensorFlow's executor runs the graph on a value of any other shape, and
    `(batch, 1)` would be broadcast to the event.  The static shape is hidden first, or the graph optimizer, which takes
    the declared shape for true, would remove the comparison.

    Args:
        signature: name of the signature, for the message.
        value: an input of it.
        spec: what it was declared as; its first dimension is the batch's.

    Returns:
        The value; every operation on it waits for the comparison.

    Raises:
        tf.errors.InvalidArgumentError: where the graph runs, for a value of another shape.

    Source: inntf.

    Example:
        >>> checked("forward", tf.zeros([3, 2]), tf.TensorSpec([None, 2], tf.float32, "x")).shape
        TensorShape([3, 2])
    """
    expected = spec.shape.as_list()
    hidden = tf.raw_ops.PlaceholderWithDefault(input=value, shape=None)
    shape = tf.shape(hidden)
    pattern = tf.constant([-1 if size is None else size for size in expected], tf.int32)
    same_rank = tf.equal(tf.size(shape), len(expected))
    compared = tf.cond(same_rank, lambda: tf.reduce_all((shape == pattern) | (pattern < 0)), lambda: tf.constant(False))
    words = ", ".join(("any" if i else "batch") if size is None else str(size) for i, size in enumerate(expected))
    text = [f"{signature}: received {spec.name} of shape", shape, f"expected shape ({words}). Reshape it."]
    with tf.control_dependencies([tf.debugging.Assert(compared, text)]):
        # XLA leaves assertions out; this one holds there, when the shapes are known.
        return tf.ensure_shape(tf.identity(hidden), expected)


def finite(signature: str, name: str, value: tf.Tensor) -> tf.Tensor:
    """The value, once no entry of it was found to be NaN or infinite.

    Args:
        signature: name of the signature, for the message.
        name: of the input.
        value: `(batch, ...)`.

    Returns:
        The value.

    Raises:
        tf.errors.InvalidArgumentError: where the graph runs, with the number of the first such row.

    Source: inntf.

    Example:
        >>> finite("forward", "x", tf.zeros([3, 2])).shape
        TensorShape([3, 2])
    """
    rows = tf.reduce_all(tf.math.is_finite(value), list(range(1, value.shape.rank)))
    first = tf.argmin(tf.concat([tf.cast(rows, tf.int32), [0]], 0))
    text = [f"{signature}: received {name} with NaN or infinity in row", first, "expected finite numbers. Leave such rows out."]
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(rows), text)]):
        return tf.identity(value)


def same_batch(signature: str, condition: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """The condition, once there was found to be one for each value, or one for all.

    Args:
        signature: name of the signature, for the message.
        condition: `(batch, ...)` or `(1, ...)`.
        value: `(batch, ...)`.

    Returns:
        The condition.

    Raises:
        tf.errors.InvalidArgumentError: where the graph runs, for any other number of conditions.

    Source: inntf.

    Example:
        >>> same_batch("forward", tf.zeros([1, 2]), tf.zeros([3, 2])).shape
        TensorShape([1, 2])
    """
    given, wanted = tf.shape(condition)[0], tf.shape(value)[0]
    text = [f"{signature}: received", given, "conditions for", wanted, "values, expected one for each, or one for all."]
    with tf.control_dependencies([tf.debugging.Assert((given == 1) | (given == wanted), text)]):
        return tf.identity(condition)


def checked_count(n: tf.Tensor, numbers: int | tf.Tensor = 1) -> tf.Tensor:
    """A number of samples: a scalar that is not negative, and no more than one request should take memory for.

    Args:
        n: the number.
        numbers: of one sample, for all conditions.
    """
    n = _scalar("n", n)
    most = LARGEST // tf.maximum(tf.cast(numbers, tf.int64), 1)
    text = [
        "sample: received n =",
        n,
        "expected an integer >= 0, at most",
        most,
        "in one request (a gigabyte). Ask several times.",
    ]
    with tf.control_dependencies([tf.debugging.Assert((n >= 0) & (tf.cast(n, tf.int64) <= most), text)]):
        return tf.identity(n)


def checked_temperature(temperature: tf.Tensor, free: bool = True) -> tf.Tensor:
    """A temperature: a finite scalar that is not negative; unless `free`, 1 only."""
    temperature = _scalar("temperature", temperature)
    right = tf.math.is_finite(temperature) & (temperature >= 0) if free else tf.equal(temperature, 1.0)
    wanted = "a finite temperature >= 0; 1 is the model itself." if free else "1: the base has no mean to draw samples towards."
    text = ["sample: received temperature =", temperature, f"expected {wanted}"]
    with tf.control_dependencies([tf.debugging.Assert(right, text)]):
        return tf.identity(temperature)


def checked_seed(seed: tf.Tensor) -> tf.Tensor:
    """A seed of one or two int32; one alone becomes the pair that `Flow.sample` makes of an integer."""
    flat = tf.reshape(seed, [-1])
    size = tf.size(flat)
    text = ["sample: received a seed of", size, "integers, expected a seed of one or two integers."]
    with tf.control_dependencies([tf.debugging.Assert((size == 1) | (size == 2), text)]):
        high = tf.bitwise.bitwise_and(tf.bitwise.right_shift(flat, 31), _POSITIVE_INT)
    alone = tf.concat([tf.bitwise.bitwise_and(flat, _POSITIVE_INT), high], 0)[:2]
    return tf.reshape(tf.where(tf.size(flat) == 1, alone, tf.concat([flat, flat], 0)[:2]), [2])


def _scalar(name: str, value: tf.Tensor) -> tf.Tensor:
    hidden = tf.raw_ops.PlaceholderWithDefault(input=value, shape=None)
    text = [f"sample: received {name} of shape", tf.shape(hidden), "expected one number."]
    with tf.control_dependencies([tf.debugging.Assert(tf.equal(tf.rank(hidden), 0), text)]):
        return tf.ensure_shape(tf.identity(hidden), [])
