"""The likelihood of quantized images under a flow over their dequantized values."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from inntf.models import Flow


class BitsPerDim:
    """Mean bits per dimension, by one traced function: `-log p(x) / (D log 2) + bits`, a level having a width of `2^-bits`.

    Args:
        flow: over dequantized images, in a range of width one.
        bits: of a pixel.
    """

    def __init__(self, flow: Flow, bits: int):
        self._log_prob = tf.function(flow.log_prob, [tf.TensorSpec([None, *flow.event_shape], tf.float32)], autograph=False)
        self._dim, self._bits = flow.dim, bits

    def __call__(self, x: tf.Tensor, batch_size: int = 250) -> float:
        """Of images `(n, height, width, channels)`."""
        parts = [self._log_prob(x[i : i + batch_size]).numpy().astype(np.float64) for i in range(0, len(x), batch_size)]
        return float(-np.mean(np.concatenate(parts)) / (self._dim * math.log(2.0)) + self._bits)
