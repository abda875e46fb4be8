"""The images: shrunk to a size, on the scale [-1/2, 1/2] with the noise of dequantization; and those of other data sets."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from recipes.common.batches import batches
from recipes.common.data import load_images
from recipes.common.errors import UserError
from recipes.common.image_data import ImageData, pad_images
from recipes.common.scaling import scaled
from recipes.common.shrinking import shrunk, shrunk_images
from recipes.density.settings import Config

BITS = 8
NOISE = 2.0**-BITS  # a pixel spread over all that is rounded to it
TEST, INIT, OTHER = -1, -2, -3  # seeds of noise; steps count from 0


def load(config: Config) -> ImageData:
    """The images of a run.

    Raises:
        UserError: for images smaller than wanted, or too few of them.
    """
    data = load_images(config.dataset, config.data_dir)
    data = data.halvable(config.levels) if config.size is None else shrunk(data, config.size)
    data = data.first(train=256, test=64) if config.preset == "smoke" else data
    data.check_batch(config.batch_size, "--batch-size")
    for flag, wanted in (("--watched", config.watched), ("--unlike", config.unlike)):
        if wanted > len(data.test):
            raise UserError(f"{flag}: received {wanted} for {len(data.test)} test images of {data.name}")
    return data


def load_others(config: Config, data: ImageData) -> dict[str, np.ndarray]:
    """Test images of the other data sets, by name, as those of a run: at most `--unlike`, pixels 0 to 255.

    Raises:
        UserError: for a data set that is not there.
    """
    names = [name for name in config.others if name != config.dataset]
    return {name: like(load_images(name, config.data_dir).test[: config.unlike], data.shape) for name in names}


def like(images: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Square images brought to a shape: averaged over cells or with a border of zeros, grey repeated or colours averaged.

    >>> like(np.full((2, 28, 28, 1), 7, np.uint8), (32, 32, 3)).shape
    (2, 32, 32, 3)
    """
    side, channels = shape[0], shape[-1]
    images = shrunk_images(images, side) if images.shape[1] > side else pad_images(images, side)
    if images.shape[-1] > channels:
        return np.round(images.mean(-1, keepdims=True)).astype(np.uint8)
    return np.broadcast_to(images, (*images.shape[:-1], channels))


def noisy(pixels: np.ndarray, config: Config, which: int) -> tf.Tensor:
    """Pixels with the noise of dequantization, on the scale [-1/2, 1/2)."""
    return scaled(pixels, NOISE, [config.seed, which])


def stream(data: ImageData, config: Config, step: int) -> tf.data.Dataset:
    """Endless batches from a step on; what a step draws depends on the seed and its number alone."""
    options = {"augment": data.mirrors, "crop": config.crop, "start": step}
    numbered = batches(data.train, config.batch_size, config.seed, **options).enumerate(step)
    return numbered.map(lambda i, x: scaled(x, NOISE, tf.stack([tf.cast(config.seed, tf.int64), i])))
