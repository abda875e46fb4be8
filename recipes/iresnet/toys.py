"""Densities in two dimensions, drawn anew every step."""

from __future__ import annotations

import math

import tensorflow as tf

from recipes.checkerboard import data as checkerboard_data

SIDE = 5.0  # pictures show [-SIDE, SIDE]^2
_TEST = -1  # steps count from 0


def sample(name: str, count: int, seed: tf.Tensor) -> tf.Tensor:
    """Samples `(count, 2)` of `checkerboard`, `two_spirals` or `eight_gaussians`; the same for the same two integers."""
    return {"checkerboard": checkerboard_data.sample, "two_spirals": two_spirals, "eight_gaussians": eight_gaussians}[name](
        count, seed
    )


def two_spirals(count: int, seed: tf.Tensor) -> tf.Tensor:
    """Two arms of one turn and a half, `r = 3 pi sqrt(u) / 3`, blurred by a normal of deviation 0.1 along both axes."""
    uniform, normal = _seeds(seed)
    u = tf.random.stateless_uniform([count, 2], uniform)
    angle = 3.0 * math.pi * tf.sqrt(u[:, 0])
    side = tf.where(u[:, 1] < 0.5, -1.0, 1.0)
    arm = tf.stack([-angle * tf.cos(angle), angle * tf.sin(angle)], 1) * side[:, None] / 3.0
    return arm + 0.1 * tf.random.stateless_normal([count, 2], normal)


def eight_gaussians(count: int, seed: tf.Tensor) -> tf.Tensor:
    """Eight normals of deviation 0.35 on a circle of radius 2.8."""
    uniform, normal = _seeds(seed)
    which = tf.cast(tf.random.stateless_uniform([count], uniform, 0, 8, tf.int32), tf.float32)
    angle = which * (math.pi / 4)
    return 2.8 * tf.stack([tf.cos(angle), tf.sin(angle)], 1) + 0.35 * tf.random.stateless_normal([count, 2], normal)


def batches(name: str, batch_size: int, seed: int, start: int = 0) -> tf.data.Dataset:
    """Endless fresh batches `(batch_size, 2)`; that of each step depends on the seed and the step alone."""
    steps = tf.data.Dataset.range(start, tf.int64.max)
    drawn = steps.map(lambda step: sample(name, batch_size, tf.stack([tf.cast(seed, tf.int64), step])), num_parallel_calls=1)
    options = tf.data.Options()  # no files to share out among workers: they take turns
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return drawn.prefetch(4).with_options(options)


def test_set(name: str, count: int, seed: int) -> tf.Tensor:
    """Samples `(count, 2)` of their own for the likelihood."""
    return sample(name, count, tf.constant([seed, _TEST], tf.int64))


def _seeds(seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    both = tf.random.experimental.stateless_split(seed, 2)
    return both[0], both[1]
