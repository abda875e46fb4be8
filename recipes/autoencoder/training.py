"""Train one autoencoder, and what is looked at meanwhile."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from inntf.stability import weakest_block
from recipes.autoencoder.data import scaled, to_pixels
from recipes.autoencoder.models import Traced
from recipes.autoencoder.settings import Config
from recipes.common.batches import batches
from recipes.common.image_data import ImageData
from recipes.common.keras_fit import fit_in_segments
from recipes.common.run_folder import RunFolder
from recipes.common.tensorboard import Summaries
from recipes.common.watch import Watch

LOOKED_AT = 250
SHOWN = 8


def steps_of(config: Config, name: str, data: ImageData) -> int:
    """Steps of a training: what is left over of a pass is dropped."""
    return config.epochs_of(name) * (len(data.train) // config.batch)


def train(
    model: Any, name: str, seed: int, config: Config, data: ImageData, steps: int, folder: RunFolder
) -> list[dict[str, float]]:
    """Train from the newest checkpoint if there is one; returns the logged numbers.

    Args:
        model: compiled.
        name: of the training.
        seed: of the order of the images.
        config: settings of the run.
        data: the images.
        steps: of the training.
        folder: of the run.
    """
    traced, pixels = Traced(model), data.test[:LOOKED_AT]

    def look(step: int, losses: dict[str, float], board: Summaries) -> dict[str, float]:
        again = traced.reconstruct(pixels)
        numbers = {**losses, "test_l1": float(np.mean(np.abs(again - scaled(pixels).numpy())))}
        board.scalars(step, numbers, prefix="train")
        board.images(step, "reconstructed", np.concatenate([pixels[:SHOWN], to_pixels(again[:SHOWN])]), columns=SHOWN)
        return numbers

    def stream(start: int) -> tf.data.Dataset:
        return batches(data.train, config.batch, seed, start=start).map(scaled, num_parallel_calls=2)

    parts = {"model": model.trainable_variables, "optimizer": model.optimizer}
    options = {
        "weights": model.trainable_weights,
        "trained": model.trainable_weights,
        "remedy": "Lower --rate-inn or --rate-classic.",
        "diagnose": (lambda: weakest_block(model, scaled(pixels))) if name.startswith("inn") else None,
    }
    watch = Watch(folder, name, look=look, **options, **parts)
    fit_in_segments(model, name, stream, watch.restore(), steps, config.between_looks(steps), watch)
    return watch.finish()
