"""The frozen classifier of handwritten digits: trained once and kept, so that sample quality is measured alike in every run."""

from __future__ import annotations

import functools
import pathlib

import numpy as np
import tensorflow as tf

from inntf.serving import read_card
from inntf.serving.export import newest_version
from recipes.common.batches import eval_batches
from recipes.common.image_data import ImageData, crop_images

KEPT = pathlib.Path(__file__).resolve().parents[2] / "saved_models" / "digits_classifier"
DIGITS = ("mnist", "mnist_5k")
SIDE = 28


class DigitsClassifier:
    """The SavedModel of `python -m recipes.digits`.

    Attributes:
        version: of the SavedModel.
        accuracy: on the test images of `mnist_5k`, from its card.

    Raises:
        OSError: if the files cannot be read.
    """

    def __init__(self, folder: pathlib.Path = KEPT):
        self.version = newest_version(folder)
        newest = folder / str(self.version)
        self.accuracy = float(read_card(newest)["training"]["measured"]["accuracy"])
        self._loaded = tf.saved_model.load(str(newest))
        self._run = self._loaded.signatures["serving_default"]

    def features(self, images: np.ndarray) -> np.ndarray:
        """Activations of the last hidden layer, `(n, 64)`, of uint8 images with or without a border."""
        return self._of(images, "features")

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Of the ten digits, `(n, 10)`; what is missing to 1 is the probability of no digit at all."""
        return tf.nn.softmax(self._of(images, "logits")).numpy()[:, :10]

    def _of(self, images: np.ndarray, output: str, batch_size: int = 250) -> np.ndarray:
        batches = eval_batches(crop_images(images, SIDE), batch_size)
        return np.concatenate([self._run(images=batch)[output].numpy() for batch in batches])


def takes(data: ImageData) -> bool:
    """Whether these are digits that the kept classifier knows, and it is here."""
    return data.name in DIGITS and min(data.shape[:2]) >= SIDE and data.shape[2] == 1 and KEPT.is_dir()


@functools.lru_cache(maxsize=1)
def kept() -> DigitsClassifier:
    """The newest version in `saved_models/digits_classifier`."""
    return DigitsClassifier()
