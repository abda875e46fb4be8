"""The loss of a density model."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class NegativeLogProb(keras.losses.Loss):
    """`-log_prob`, nats per sample; the reduction is Keras', so distribution strategies scale it right."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """`y_pred` is the log-density, `(batch, 1)`; `y_true` is ignored."""
        return -y_pred[:, 0]


def at_least_float32(dtype: tf.DType) -> tf.DType:
    """The dtype in which densities are added up."""
    return dtype if dtype.size >= 4 else tf.float32
