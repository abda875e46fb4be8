"""Empty batches: oneDNN convolutions return the input's shape for them, so one row is evaluated and none kept."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from inntf.core.straight_line import is_straight_line


def at_least_one_row(x: tf.Tensor) -> tf.Tensor:
    """`x`, or a row of zeros where its first dimension is empty; a batch that is not is handed on without a copy."""
    if is_straight_line():  # of a padded value other runtimes know no shape
        return x
    missing = 1 if x.shape[0] == 0 else tf.maximum(0, 1 - tf.shape(x)[0])
    return tf.pad(x, [[0, missing], *[[0, 0]] * (x.shape.rank - 1)])


def any_batch(call: Callable) -> Callable:
    """Wrap the `call` of a network with convolutions, so that an empty batch gives outputs of the right shape."""

    @functools.wraps(call)
    def through(self: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        x = tf.convert_to_tensor(x)
        if x.shape[0]:  # known, and not empty
            return call(self, x, *args, **kwargs)
        size = tf.shape(x)[0]
        return tf.nest.map_structure(lambda y: y[:size], call(self, at_least_one_row(x), *args, **kwargs))

    return through
