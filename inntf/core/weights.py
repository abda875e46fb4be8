"""Reading a weight."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def read(weight: Any, dtype: Any = None) -> tf.Tensor:
    """A weight as a tensor, in another dtype where one is given.

    A Keras variable is read as it is stored: arithmetic on the variable itself would go through Keras' autocast.
    """
    value = tf.convert_to_tensor(weight)
    return value if dtype is None else tf.cast(value, dtype)
