"""What a graph raises where an assertion fails, raised eagerly under a name of its own."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


class EagerFailure(tf.errors.InvalidArgumentError):
    """Made from a message; or, as Keras does to say where it happened, from the four arguments of TensorFlow's errors."""

    def __init__(self, *args: Any):
        super().__init__(*(args if len(args) > 1 else (None, None, *args)))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message,)
