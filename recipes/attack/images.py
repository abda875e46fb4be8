"""The images: shrunk to a size, rounded to a few bits, spread over the bins of that rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from recipes.attack.settings import Config
from recipes.common.batches import batches
from recipes.common.data import load_images
from recipes.common.errors import UserError
from recipes.common.image_data import ImageData
from recipes.common.shrinking import shrunk


def load(config: Config) -> ImageData:
    """The images of a run.

    Raises:
        UserError: for images smaller than wanted, or too few of them.
    """
    data = load_images(config.dataset, config.data_dir)
    data = data.halvable(config.levels) if config.size is None else shrunk(data, config.size)
    data = data.first(train=256, test=64) if config.preset == "smoke" else data
    data.check_batch(config.batch_size, "--batch-size")
    for flag, wanted, there in (
        ("--attacked", config.attacked, len(data.train)),
        ("--unlike", config.unlike, len(data.test)),
    ):
        if wanted > there:
            raise UserError(f"{flag}: received {wanted} for {there} images of {data.name}")
    return data


def levels(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Pixels 0 to 255 as levels 0 to `2^bits - 1`."""
    return pixels >> (8 - bits)


def dequantized(pixels: tf.Tensor, bits: int, seed: Any) -> tf.Tensor:
    """Levels with uniform noise, on the scale [0, 1); the same for the same two integers."""
    level = tf.cast(tf.bitwise.right_shift(pixels, tf.constant(8 - bits, pixels.dtype)), tf.float32)
    u = tf.random.stateless_uniform(tf.shape(pixels), seed, maxval=1.0 - 2.0**-12)  # rounding must not reach the next bin
    return (level + tf.ensure_shape(u, pixels.shape)) / 2**bits


def stream(data: ImageData, config: Config, step: int) -> tf.data.Dataset:
    """Endless batches from a step on; what a step draws depends on the seed and its number alone."""
    numbered = batches(data.train, config.batch_size, config.seed, augment=data.mirrors, start=step).enumerate(step)
    return numbered.map(lambda i, x: dequantized(x, config.bits, tf.stack([tf.cast(config.seed, tf.int64), i])))


def to_pixels(x: Any) -> np.ndarray:
    """Images on the scale [0, 1] as floats on the scale 0 to 255."""
    return np.asarray(x, np.float64) * 255
