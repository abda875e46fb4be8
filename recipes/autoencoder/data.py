"""Images of the autoencoders: full size, numbers in [0, 1], neither shifted nor mirrored."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from recipes.autoencoder.settings import INVERTIBLE, Config
from recipes.common.data import load_images
from recipes.common.errors import UserError
from recipes.common.image_data import ImageData
from recipes.common.places import expanded

_TEST_SHARE = 5  # one in five images of celeba, drawn once and for all


def images_for(config: Config, model: str) -> ImageData:
    """What a model trains and is tested on: the same for all, but for celeba, whose INNs see smaller images.

    Raises:
        UserError: if the data set is not there, or too small for the batch or the bottlenecks.
    """
    size = config.reference.size if model in INVERTIBLE else None
    data = _loaded(config.dataset, config.data_dir, size, config.images, config.test_images)
    data.check_batch(config.batch, "--batch-size")
    widest = max(bottleneck for name, bottleneck, _ in config.trainings() if name == model)
    if widest >= data.dims:
        raise UserError(
            f"--bottlenecks: received {widest} for images of {data.dims} numbers",
            remedy=f"Choose bottlenecks below {data.dims}.",
        )
    return data


def scaled(pixels: Any) -> tf.Tensor:
    """Pixels 0 to 255 as numbers in [0, 1], of the dtype that Keras makes models in.

    >>> scaled(np.uint8([[0, 255]])).numpy().tolist()
    [[0.0, 1.0]]
    """
    return tf.cast(pixels, keras.config.floatx()) / 255


def to_pixels(x: Any) -> np.ndarray:
    """The way back: floats on the scale 0 to 255."""
    return np.asarray(x, np.float64) * 255


@functools.lru_cache(maxsize=2)
def _loaded(name: str, data_dir: pathlib.Path | None, size: tuple[int, int] | None, train: int | None, test: int) -> ImageData:
    data = load_images(name, data_dir) if name != "celeba" else _celeba(data_dir, size, train)
    return data.first(train=train, test=test)


def _celeba(data_dir: pathlib.Path | None, size: tuple[int, int] | None, limit: int | None) -> ImageData:
    """CelebA as tensorflow-datasets has it, one image in five for testing.

    All of it takes 19 GiB at its own size, 10 at the INNs'.
    """
    where = None if data_dir is None else str(expanded(data_dir, "--data-dir"))
    try:
        found = tfds.load("celeb_a", data_dir=where, split="all", download=False)
    except (AssertionError, OSError, tfds.core.registered.DatasetNotFoundError) as error:
        raise UserError(
            f"celeba is not in {where or tfds.core.constants.DATA_DIR}",
            remedy="Prepare it by tensorflow-datasets (celeb_a), which asks for its makers' files, or use another --dataset.",
        ) from error
    wanted = None if limit is None else limit * _TEST_SHARE // (_TEST_SHARE - 1) + _TEST_SHARE
    images = found.take(-1 if wanted is None else wanted).map(lambda example: example["image"], num_parallel_calls=2)
    if size is not None:
        images = images.map(lambda x: tf.cast(tf.round(tf.image.resize(x, size, "area")), tf.uint8), num_parallel_calls=2)
    everything = np.stack(list(images.as_numpy_iterator()))
    order = np.random.default_rng(0).permutation(len(everything))
    test, train = np.sort(order[: len(order) // _TEST_SHARE]), np.sort(order[len(order) // _TEST_SHARE :])
    none = lambda rows: np.zeros(len(rows), np.int64)  # noqa: E731
    return dataclasses.replace(
        ImageData(everything[train], none(train), everything[test], none(test), name="celeba"), classes=1
    )
