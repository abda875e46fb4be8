"""Many events through a map a part at a time, so that what its networks compute stays in the processor's cache."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

_ENTRIES = 2**13  # of one part; a network is some 100 times as wide as the events, a core's cache holds a few MiB
_FEWEST = 64  # events a part: fewer would not keep a matrix product busy
_WORTH = 4  # parts; below that a loop costs more than it saves


def in_parts(
    pair: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]], value: tf.Tensor, event_ndims: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """`pair(value)`, evaluated in equal parts where the batch is known to be large; the same result otherwise.

    Layers as large as `batch * width` would be written to fresh memory and read back from it, one after the other: for
    100 000 events and a width of 256, the page faults alone take as long as the arithmetic.

    Args:
        pair: a map from `(batch, *event)` to a value and a log-determinant `(batch,)`, event by event.
        value: the events.
        event_ndims: rank of one event.

    Returns:
        Value and log-determinant of all.
    """
    shape = value.shape
    if shape.rank != event_ndims + 1 or not shape.is_fully_defined():
        return pair(value)
    n = shape[0]
    rows = max(_FEWEST, _ENTRIES // max(1, shape[1:].num_elements()))
    if n < _WORTH * rows:
        return pair(value)
    count = -(-n // rows)
    size = -(-n // count)
    # The last part is filled up with events of the first, which are thrown away again.
    filled = tf.concat([value, value[: count * size - n]], 0)
    stacked = tf.reshape(filled, [count, size, *shape[1:]])
    dtypes = value.dtype, value.dtype if value.dtype.size >= 4 else tf.float32
    # One at a time: several at once would share the cache.
    out, log_det = tf.map_fn(pair, stacked, fn_output_signature=dtypes, parallel_iterations=1)
    return tf.reshape(out, [count * size, *out.shape[2:]])[:n], tf.reshape(log_det, [count * size])[:n]
