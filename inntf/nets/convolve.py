"""Convolutions of Keras, applied so that XLA can differentiate them quickly."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from inntf.core.under_xla import in_xla
from inntf.numerics.xla_convolution import convolution


def convolve(layer: Any, x: Any) -> Any:
    """What `layer(x)` is; a `keras.layers.Conv2D` of usual layout is applied by `inntf.numerics.xla_convolution` within XLA.

    Args:
        layer: built, of any class.
        x: `(batch, height, width, channels)`.

    Example:
        >>> layer = keras.layers.Conv2D(2, 3, kernel_initializer="ones"); layer.build((None, 4, 4, 1))
        >>> convolve(layer, tf.ones([1, 4, 4, 1])).shape
        TensorShape([1, 2, 2, 2])
    """
    if type(layer) is not keras.layers.Conv2D or not in_xla():
        return layer(x)
    usual = layer.groups == 1 and layer.data_format == "channels_last" and layer.padding in ("same", "valid")
    if not usual or layer.activity_regularizer is not None:
        return layer(x)
    dtype = layer.compute_dtype
    kernel = tf.cast(layer.kernel, dtype)
    out = convolution(tf.cast(x, dtype), kernel, layer.strides, layer.padding.upper(), layer.dilation_rate)
    out = out if layer.bias is None else out + tf.cast(layer.bias, dtype)
    return out if layer.activation is None else layer.activation(out)
