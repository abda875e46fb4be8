"""Train one classifier, and what is looked at meanwhile."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from inntf.models import IResNetClassifier
from inntf.stability import weakest_block
from inntf.training import write_stability
from recipes.classification.measuring import accuracy
from recipes.classification.models import Standardization
from recipes.classification.settings import Config
from recipes.common.batches import batches
from recipes.common.errors import NonFiniteError
from recipes.common.image_data import ImageData
from recipes.common.keras_fit import fit_in_segments
from recipes.common.run_folder import RunFolder
from recipes.common.tensorboard import Summaries
from recipes.common.watch import Watch

WATCHED = 32


def train(
    model: IResNetClassifier, name: str, config: Config, data: ImageData, scale: Standardization, folder: RunFolder
) -> list[dict[str, float]]:
    """Train from the newest checkpoint if there is one; returns the logged numbers."""
    stability = tf.summary.create_file_writer(str(folder.logs / name))
    x = scale(data.test[:WATCHED])
    looked_at = {"passes": 1, "samples": 1, "iterations": 20, "tolerance": 0.1, "precision": "float64"}

    def look(step: int, losses: dict[str, float], board: Summaries) -> dict[str, float]:
        numbers, _ = write_stability(stability, model, x, step, **looked_at)
        numbers |= {**losses, "test_accuracy": accuracy(model, scale, data.test[:500], data.test_labels[:500])}
        board.scalars(step, {"loss": losses["loss"], "test_accuracy": numbers["test_accuracy"]}, prefix="train")
        return numbers

    remedy = "Lower --rate, or regularize more (--coefficient-fd, --weight-nf)."
    parts = {"model": model.variables, "optimizer": model.optimizer}
    options = {"weights": model.weights, "trained": model.trainable_weights, "diagnose": lambda: weakest_block(model, x)}
    watch = Watch(folder, name, look=look, remedy=remedy, **options, **parts)
    cuts = watch.restore(), config.steps, config.log_every
    try:
        fit_in_segments(model, name, lambda i: stream(config, data, scale, i), *cuts, watch)
    except tf.errors.InvalidArgumentError as error:
        if "penalties that are not finite" not in str(error):
            raise
        raise NonFiniteError(
            f"{name}: its inverse was lost in training, so that the finite differences are not finite",
            remedy="Apply them more often (--every), regularize more (--coefficient-fd), or lower --rate; with another --out.",
        ) from error
    return watch.finish()


def stream(config: Config, data: ImageData, scale: Standardization, start: int = 0) -> tf.data.Dataset:
    """Endless batches of standardized images and labels."""
    options = {"augment": data.mirrors, "crop": config.crop, "labels": data.train_labels, "start": start}
    pairs = batches(data.train, config.batch_size, config.seed, **options)
    return pairs.map(lambda images, labels: (scale(images), labels))


def fixed_batches(config: Config, data: ImageData, scale: Standardization) -> list[tuple[tf.Tensor, np.ndarray]]:
    """The first training batches in order, neither shuffled nor changed: what gradients are compared at."""
    size, count = config.batch_size, min(config.angle_batches, len(data.train) // config.batch_size)
    return [(scale(data.train[i * size : (i + 1) * size]), data.train_labels[i * size : (i + 1) * size]) for i in range(count)]
