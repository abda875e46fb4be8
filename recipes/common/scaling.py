"""Pixels on the scale [-1/2, 1/2], with the noise of dequantization, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


def scaled(pixels: Any, noise: float, seed: Any) -> tf.Tensor:
    """Pixels 0 to 255 on the scale [-1/2, 1/2], with uniform noise of a width, the same for the same seed (two integers).

    A width of 1/256 spreads a pixel over all values that are rounded to it.

    >>> scaled([[0.0, 255.0]], 0.0, [0, 0]).numpy().tolist()
    [[-0.5, 0.49609375]]
    """
    x = tf.cast(pixels, tf.float32) / 256 - 0.5
    return x + noise * tf.random.stateless_uniform(tf.shape(x), seed)


def to_pixels(x: Any) -> np.ndarray:
    """Undo `scaled`: floats on the scale 0 to 255."""
    return (np.asarray(x, np.float64) + 0.5) * 256
