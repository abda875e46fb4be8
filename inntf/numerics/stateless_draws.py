"""Random numbers that are the same with and without XLA.

TensorFlow's stateless integers agree between its own kernels and XLA's; its normal and its float64 uniform numbers do not.
So everything is made from the integers here.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf


def random_bits(shape: Any, seed: tf.Tensor) -> tf.Tensor:
    """Uniform int32 numbers of the whole range, by the seed."""
    return tf.random.stateless_uniform(shape, seed, minval=None, maxval=None, dtype=tf.int32, alg="philox")


def uniform(shape: Any, seed: tf.Tensor) -> tf.Tensor:
    """float64 in [0, 1), all 52 bits random."""
    high, low = tf.unstack(tf.cast(random_bits(tf.concat([[2], shape], 0), seed), tf.float64))
    return (high + 2.0**31) * 2.0**-32 + tf.floor((low + 2.0**31) * 2.0**-12) * 2.0**-52


def gaussian(shape: Any, seed: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Standard normal numbers, by Box and Muller; below 5.8 in float32 and 6.6 in float64."""
    wide = dtype if dtype.size >= 4 else tf.float32
    radius, angle = tf.unstack(random_bits(tf.concat([[2], shape], 0), seed))
    if wide == tf.float64:
        positive = (tf.cast(radius, wide) + (2.0**31 + 1)) * 2.0**-32
    else:
        positive = (tf.cast(tf.bitwise.right_shift(radius, 8), wide) + (2.0**23 + 1)) * 2.0**-24  # 24 bits are exact
    turn = tf.cast(angle, wide) * (math.pi * 2.0**-31)
    return tf.cast(tf.sqrt(-2 * tf.math.log(positive)) * tf.cos(turn), dtype)
