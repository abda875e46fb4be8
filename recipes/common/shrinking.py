"""Smaller images, by averaging."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from recipes.common.errors import UserError
from recipes.common.image_data import ImageData, crop_images


def shrunk(data: ImageData, size: int, cut: int | None = None) -> ImageData:
    """The images averaged over cells, `size` by `size`.

    Args:
        data: square images.
        size: side of what comes out.
        cut: side of the central square that is left of them before; all by default.

    Raises:
        UserError: if the images are smaller.

    >>> black = np.zeros((1, 8, 8, 1), np.uint8)
    >>> shrunk(ImageData(black, np.zeros(1), black, np.zeros(1), "black"), 4).shape
    (4, 4, 1)
    """
    cut = data.shape[0] if cut is None else cut
    if size > cut:
        remedy = "Choose a smaller one, or None to leave them be."
        raise UserError(f"--size: received {size}, expected at most {cut} for {data.name}", remedy=remedy)
    train, test = (shrunk_images(crop_images(images, cut), size) for images in (data.train, data.test))
    return dataclasses.replace(data, train=train, test=test)


def shrunk_images(images: np.ndarray, size: int) -> np.ndarray:
    """Images `(n, height, width, channels)` averaged over cells, `size` by `size`, uint8."""
    return tf.cast(tf.round(tf.image.resize(images, [size, size], "area")), tf.uint8).numpy()
