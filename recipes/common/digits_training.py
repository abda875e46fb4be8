"""How the kept classifier of digits was made: training, and the SavedModel with its card."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import tempfile

import numpy as np
import tensorflow as tf

from inntf.serving.export import newest_version
from recipes.common import files
from recipes.common.classifier import SmallClassifier, train_classifier
from recipes.common.data import load_images
from recipes.common.digits_classifier import SIDE
from recipes.common.image_data import ImageData
from recipes.common.provenance import git_commit


def make(folder: pathlib.Path, seed: int, steps: int) -> pathlib.Path:
    """Train, measure, save; returns the folder of the version."""
    classifier = train_classifier(with_others(moved(load_images("mnist_5k"))), seed, steps)
    print(f"accuracy on the 1000 test digits: {classifier.accuracy:.3f}")
    training = {"dataset": "mnist_5k", "seed": seed, "steps": steps, "commit": git_commit()}
    return save(classifier, folder, training)


def moved(data: ImageData, places: int = 4, most: int = 2, seed: int = 0) -> ImageData:
    """The data with further copies of the training digits, each up to `most` pixels from its place."""
    rng = np.random.default_rng(seed)
    by = rng.integers(-most, most + 1, size=(places * len(data.train), 2))
    again = np.concatenate([data.train] * places)
    copies = np.stack([np.roll(image, shift, (0, 1)) for image, shift in zip(again, by, strict=True)])
    labels = np.concatenate([data.train_labels] * (places + 1))
    return dataclasses.replace(data, train=np.concatenate([data.train, copies]), train_labels=labels)


def with_others(data: ImageData, seed: int = 0) -> ImageData:
    """The data with an eleventh class: images that are no digits, half as many.

    A classifier of digits alone is sure of noise.  A third are digits whose quarters or sixteenths change places, a third
    noise of any two levels, a third mostly black or of one level.
    """
    rng = np.random.default_rng(seed)
    side, count = data.shape[0], len(data.train) // 6
    shuffled = np.stack(
        [_patches_shuffled(image, side // rng.choice([2, 4]), rng) for image in rng.choice(data.train, count, replace=False)]
    )
    low, high = np.sort(rng.uniform(0, 256, (2, count, 1, 1, 1)), axis=0)
    noise = rng.uniform(low, high, (count, *data.shape))
    flat = np.where(rng.uniform(size=(count, *data.shape)) < rng.uniform(0, 0.2, (count, 1, 1, 1)), 255, 0)
    flat = np.where(rng.uniform(size=(count, 1, 1, 1)) < 0.3, rng.uniform(0, 256, (count, 1, 1, 1)), flat)
    others = np.concatenate([shuffled, noise, flat]).astype(np.uint8)
    labels = np.full(len(others), data.classes)
    return dataclasses.replace(
        data,
        train=np.concatenate([data.train, others]),
        train_labels=np.concatenate([data.train_labels, labels]),
        classes=data.classes + 1,
    )


def _patches_shuffled(image: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """The image with its square patches in another order."""
    n, channels = len(image) // size, image.shape[-1]
    patches = image.reshape(n, size, n, size, channels).swapaxes(1, 2).reshape(n * n, size, size, channels)
    order = rng.permutation(n * n)
    while np.array_equal(patches[order], patches):
        order = rng.permutation(n * n)
    return patches[order].reshape(n, n, size, size, channels).swapaxes(1, 2).reshape(image.shape)


def save(classifier: SmallClassifier, folder: pathlib.Path, training: dict[str, object]) -> pathlib.Path:
    """A SavedModel with its card, written beside its place and moved there."""
    frozen = tf.Module()
    frozen.model = classifier.model

    @tf.function(input_signature=[tf.TensorSpec([None, SIDE, SIDE, 1], tf.uint8, "images")], autograph=False)
    def classify(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return classifier.model(tf.cast(images, tf.float32), training=False)

    folder.mkdir(parents=True, exist_ok=True)
    version = newest_version(folder) + 1
    card = {"name": folder.name, "version": version, "kind": "classifier", "signatures": {"serving_default": "images"}}
    measured = {"accuracy": classifier.accuracy, "test_images": "the 1000 of mnist_5k"}
    with tempfile.TemporaryDirectory(prefix=files.PARTIAL, dir=folder) as beside:
        whole = pathlib.Path(beside) / "model"
        tf.saved_model.save(frozen, str(whole), signatures=classify)
        files.write_json(whole / "card.json", {**card, "training": {**training, "measured": measured}})
        os.rename(whole, folder / str(version))
    return folder / str(version)
