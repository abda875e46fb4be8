"""Train a keras.Model of this recipe: progress bar, TensorBoard, checkpoints, going on where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable

import keras
import tensorflow as tf

from recipes.common.checkpoints import Checkpoints, refuse_unmoved
from recipes.common.keras_fit import fit_in_segments
from recipes.common.run_folder import RunFolder
from recipes.common.tensorboard import Summaries

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
    before = [w.numpy() for w in model.trainable_weights]
    watch = Watch(model, name, folder, look)
    start = watch.restore()
    fit_in_segments(model, name, batches, start, steps, log_every, watch.look, digits=4)
    refuse_unmoved(name, before, [w.numpy() for w in model.trainable_weights])
    return watch.checkpoints.history


class Watch:
    """Every so many steps: losses and a look at the model to TensorBoard; a checkpoint if the weights are finite."""

    def __init__(self, model: keras.Model, name: str, folder: RunFolder, look: Look):
        self._model, self._look = model, look
        self._board = Summaries(folder.logs / name)
        self._started, self._before = time.monotonic(), 0.0
        # `variables`, not `weights`: the states of the seed generators are among them.
        self.checkpoints = Checkpoints(folder, name, model=model.variables, optimizer=model.optimizer)

    def restore(self) -> int:
        """Step of the newest checkpoint, loaded; 0 without one.  Starts the clock."""
        step = self.checkpoints.restore()
        self._before = float(self.checkpoints.history[-1]["seconds"]) if self.checkpoints.history else 0.0
        self._started = time.monotonic()
        return step

    def look(self, step: int, logs: dict[str, float]) -> None:
        """Look at the model; keep it."""
        remedy = "Lower the learning rate (--rate-classify, --rate-density, --rate-toys)."
        self.checkpoints.refuse_nonfinite(self._model.get_weights(), step, remedy)
        numbers = logs | self._look()
        self._board.scalars(step, numbers, prefix="iresnet")
        self._board.flush()
        self.checkpoints.keep(step, numbers | {"seconds": self._before + time.monotonic() - self._started})
