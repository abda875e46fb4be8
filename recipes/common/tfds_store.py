"""Write images as a data set of tensorflow-datasets: whole or not at all, never over another."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tqdm import tqdm

from recipes.common.errors import UserError
from recipes.common.image_data import ImageData

_CHUNK = 1000


def default_data_dir() -> pathlib.Path:
    """Where tensorflow-datasets looks when nothing else is said (`TFDS_DATA_DIR`, or a folder in the home)."""
    return pathlib.Path(tfds.core.constants.DATA_DIR).expanduser()


def stored_at(name: str, data_dir: pathlib.Path) -> pathlib.Path:
    """Folder of the data set, `DATA_DIR/NAME/VERSION`, with the version this tensorflow-datasets asks for."""
    return data_dir / name / str(tfds.builder_cls(name).VERSION)


def store(data: ImageData, data_dir: pathlib.Path) -> pathlib.Path:
    """Write a data set so that `tfds.load(data.name, data_dir=data_dir, download=False)` finds it.

    It is written to a hidden folder of `data_dir` and moved to its place at the end, with a progress bar on stderr.

    Args:
        data: the images; `data.name` is that of a data set registered in tensorflow-datasets.
        data_dir: the directory of tensorflow-datasets.

    Returns:
        Folder of the data set.

    Raises:
        UserError: if it is there already, or the directory cannot be written.
    """
    target = stored_at(data.name, data_dir)
    if target.exists():
        raise UserError(
            f"{target} is there already",
            remedy="Remove it first to prepare it anew, or choose another --data-dir; nothing was changed.",
        )
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        hidden = pathlib.Path(tempfile.mkdtemp(prefix=".preparing-", dir=data_dir))
    except OSError as error:
        raise UserError(
            f"cannot write to {data_dir} ({error.strerror or error})", remedy="Choose another folder with --data-dir."
        ) from error
    try:
        _write(data, hidden)
        target.parent.mkdir(exist_ok=True)
        os.rename(stored_at(data.name, hidden), target)
    except OSError as error:
        raise UserError(f"{data.name}: cannot be written to {data_dir} ({error.strerror or error})") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return target


def _write(data: ImageData, hidden: pathlib.Path) -> None:
    registered = tfds.builder(data.name, data_dir=str(hidden))  # version and features must be those it will look for
    features = registered.info.features
    total = len(data.train) + len(data.test)
    tfds.disable_progress_bar()
    try:
        # What tensorflow-datasets prints here ("Downloading ...") is not what happens.
        with tqdm(total=total, unit=" images", desc=data.name) as bar, contextlib.redirect_stdout(io.StringIO()):
            tfds.dataset_builders.store_as_tfds_dataset(
                name=data.name,
                version=str(registered.version),
                data_dir=str(hidden),
                features=features,
                split_datasets={
                    "train": _examples(data.train, data.train_labels, "train", "id" in features, bar),
                    "test": _examples(data.test, data.test_labels, "test", "id" in features, bar),
                },
            )
    finally:
        tfds.enable_progress_bar()


def _examples(
    images: np.ndarray, labels: np.ndarray, split: str, with_id: bool, bar: tqdm
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Keyed examples, images as PNG; encoded in chunks and not one by one, which takes a quarter of the time."""
    for start in range(0, len(images), _CHUNK):
        for i, png in enumerate(_encode(images[start : start + _CHUNK]).numpy(), start):
            bar.update()
            yield i, {"image": png, "label": labels[i], **({"id": f"{split}_{i + 1:05d}"} if with_id else {})}


@tf.function(reduce_retracing=True, autograph=False)
def _encode(images: tf.Tensor) -> tf.Tensor:
    return tf.map_fn(tf.io.encode_png, images, fn_output_signature=tf.string)
