"""The checkerboard in two dimensions: uniform on eight of the sixteen squares of [-4, 4]^2."""

from __future__ import annotations

import math

import tensorflow as tf

ENTROPY = math.log(32.0)  # nats: the density is 1/32 on squares of 8 * 4 = 32 in area
EDGE = 4.0  # the data lie in [-EDGE, EDGE]^2
_TEST = -1  # steps count from 0


def sample(count: int, seed: tf.Tensor) -> tf.Tensor:
    """Samples, `(count, 2)`; the same for the same seed of two integers.

    `x1 ~ U(-2, 2)`, `x2 = U(0, 1) - 2 Bernoulli(1/2) + (floor(x1) mod 2)`, and both times 2.
    """
    u = tf.random.stateless_uniform([count, 3], seed)
    x1 = 4.0 * u[:, 0] - 2.0
    x2 = u[:, 1] - 2.0 * tf.cast(u[:, 2] < 0.5, tf.float32) + tf.math.floormod(tf.floor(x1), 2.0)
    return 2.0 * tf.stack([x1, x2], 1)


def batches(batch_size: int, seed: int, start: int = 0) -> tf.data.Dataset:
    """Endless fresh batches `(batch_size, 2)`; that of each step depends on the seed and the step alone."""
    steps = tf.data.Dataset.range(start, tf.int64.max)
    drawn = steps.map(lambda step: sample(batch_size, tf.stack([tf.cast(seed, tf.int64), step])), num_parallel_calls=1)
    options = tf.data.Options()  # no files to share out among workers: they take turns
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return drawn.prefetch(4).with_options(options)


def test_set(count: int, seed: int) -> tf.Tensor:
    """Samples `(count, 2)` of their own for the likelihood."""
    return sample(count, tf.constant([seed, _TEST], tf.int64))
