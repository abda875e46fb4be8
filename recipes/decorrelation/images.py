"""The images: shrunk to a size, scaled to [-1/2, 1/2], with the noise of dequantization."""

from __future__ import annotations

import tensorflow as tf

from recipes.common import shrinking
from recipes.common.batches import batches
from recipes.common.data import load_images
from recipes.common.errors import UserError
from recipes.common.image_data import ImageData
from recipes.common.scaling import scaled
from recipes.decorrelation.settings import Config

_DIGITS = 20  # digits of MNIST lie in a box of this side; the pixels around it are constant


def load(config: Config) -> ImageData:
    """The images of a run.

    Raises:
        UserError: for images smaller than wanted, or too few for a batch or for what is watched.
    """
    data = load_images(config.dataset, config.data_dir)
    data = data if config.size is None else shrunk(data, config.size)
    if data.shape[0] % 2**config.levels:
        if config.size is not None:
            raise UserError(
                f"--levels: received {config.levels} for images of {config.size}x{config.size}, expected a side that divides",
                remedy=f"Choose a --size that {2**config.levels} divides, or fewer levels.",
            )
        data = data.halvable(config.levels)
    data = data.first(train=256, test=64) if config.preset == "smoke" else data
    data.check_batch(config.batch_size, "--batch-size")
    if config.watched > len(data.test):
        raise UserError(f"--watched: received {config.watched} for {len(data.test)} test images")
    return data


def shrunk(data: ImageData, size: int) -> ImageData:
    """The images averaged over cells, `size` by `size`; of digits, the box that they lie in."""
    return shrinking.shrunk(data, size, cut=_DIGITS if data.name in ("mnist", "mnist_5k") else None)


def stream(data: ImageData, config: Config, step: int) -> tf.data.Dataset:
    """Endless batches from a step on; what a step draws depends on the seed and its number alone."""
    numbered = batches(data.train, config.batch_size, config.seed, start=step).enumerate(step)
    return numbered.map(lambda i, x: scaled(x, config.noise, tf.stack([tf.cast(config.seed, tf.int64), i])))
