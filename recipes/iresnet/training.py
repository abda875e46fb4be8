"""Train a keras.Model of this recipe: progress bar, TensorBoard, checkpoints, going on where it stopped."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from inntf.stability import weakest_block
from recipes.common.keras_fit import fit_in_segments
from recipes.common.run_folder import RunFolder
from recipes.common.tensorboard import Summaries
from recipes.common.watch import Watch

Look = Callable[[], dict[str, float]]


def fit(
    model: keras.Model,
    name: str,
    batches: Callable[[int], tf.data.Dataset],
    steps: int,
    log_every: int,
    folder: RunFolder,
    look: Look,
) -> list[dict[str, float]]:
    """Train a compiled model, from its newest checkpoint if there is one.

    Args:
        model: compiled and initialized from data.
        name: of its logs and checkpoints.
        batches: makes the endless dataset from a step on.
        steps: of the optimizer.
        log_every: steps between looks.
        folder: of the run.
        look: measures the model; its numbers go to the history and to TensorBoard.

    Returns:
        The history: the losses and the looks' numbers, by step.
    """

    def looked(step: int, losses: dict[str, float], board: Summaries) -> dict[str, float]:
        numbers = losses | look()
        board.scalars(step, numbers, prefix="iresnet")
        return numbers

    watch = Watch(
        folder,
        name,
        weights=model.weights,
        trained=model.trainable_weights,
        look=looked,
        diagnose=lambda: weakest_block(model),
        remedy="Lower the learning rate (--rate-classify, --rate-density, --rate-toys).",
        model=model.variables,  # not `weights`: the states of the seed generators are among them
        optimizer=model.optimizer,
    )
    fit_in_segments(model, name, batches, watch.restore(), steps, log_every, watch, digits=4)
    return watch.finish()
