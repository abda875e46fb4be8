"""Batch normalization by the statistics of the whole batch, on several replicas too."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from inntf.core.whole_batch import whole_moments


@keras.saving.register_keras_serializable("inntf")
class WholeBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` whose mean and variance are, on several replicas, those of the whole batch.

    Both are taken of differences from the first row.  So a feature that is the same in the whole batch (the border of digits)
    becomes zero exactly, and not a rounding error of either sign, by which a ReLU behind it would pass a gradient or not, and
    the layer multiply that by up to `epsilon^(-1/2)`.  Keras' own `synchronized=True` takes `E[x^2] - E[x]^2`, on one device
    too.

    Args:
        **kwargs: of `keras.layers.BatchNormalization`, but for `synchronized` and `renorm`.

    Call arguments: `(batch, ..., channels)`.  Returns the same shape.

    Source: Ioffe and Szegedy, "Batch Normalization" (2015); the moments: `inntf.core.whole_batch.whole_moments`.

    Example:
        >>> layer = WholeBatchNormalization()
        >>> layer(tf.constant([[5000.0], [5001.0]]), training=True).numpy().round(2).tolist()
        [[-1.0], [1.0]]
    """

    def __init__(self, **kwargs: Any):
        for name in ("synchronized", "renorm"):
            if kwargs.get(name):
                raise ValueError(f"WholeBatchNormalization: received {name}=True, expected it to be left out.")
        super().__init__(**kwargs)

    def _moments(self, inputs: tf.Tensor, mask: Any) -> tuple[tf.Tensor, tf.Tensor]:
        if mask is not None:
            return super()._moments(inputs, mask)
        return whole_moments(tf.convert_to_tensor(inputs), self._reduction_axes)
