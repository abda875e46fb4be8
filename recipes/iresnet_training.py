"""Train a keras.Model of this recipe: progress bar, TensorBoard, checkpoints, going on where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from recipes.common.checkpoints import Checkpoints
from recipes.common.progress import Progress
from recipes.common.run_folder import RunFolder
from recipes.common.tensorboard import Summaries

Look = Callable[[], dict[str, float]]


def whole_steps(steps: int, log_every: int) -> tuple[int, int]:
    """Steps between looks, and the number of looks; the last look may be a few steps after `steps`."""
    per_look = min(log_every, steps)
    return per_look, -(-steps // per_look)


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
    per_look, looks = whole_steps(steps, log_every)
    watch = Watch(model, name, per_look, folder, look)
    start = watch.restore()
    if start < per_look * looks:
        model.fit(
            batches(start),
            initial_epoch=start // per_look,
            epochs=looks,
            steps_per_epoch=per_look,
            verbose=0,
            shuffle=False,  # the dataset is shuffled already
            callbacks=[Progress(name, per_look * looks, start, digits=4), watch],
        )
    return watch.checkpoints.history


class Watch(keras.callbacks.Callback):
    """After each epoch of Keras: losses and a look at the model to TensorBoard; a checkpoint if the weights are finite."""

    def __init__(self, watched: keras.Model, name: str, per_look: int, folder: RunFolder, look: Look):
        super().__init__()
        self._watched, self._per_look, self._look = watched, per_look, look
        self._board = Summaries(folder.logs / name)
        self._started, self._before = time.monotonic(), 0.0
        # Lists of plain variables: nothing depends on where Keras keeps its layers.
        kept = {"weights": [w.value for w in watched.weights], "optimizer": [v.value for v in watched.optimizer.variables]}
        self.checkpoints = Checkpoints(folder, name, **kept)

    def restore(self) -> int:
        """Step of the newest checkpoint, loaded; 0 without one."""
        step = self.checkpoints.restore()
        self._before = float(self.checkpoints.history[-1]["seconds"]) if self.checkpoints.history else 0.0
        return step

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the model; keep it."""
        step = (epoch + 1) * self._per_look
        remedy = "Lower the learning rate (--rate-classify, --rate-density, --rate-toys)."
        self.checkpoints.refuse_nonfinite(self._watched.get_weights(), step, remedy)
        numbers = {k: float(v) for k, v in (logs or {}).items()} | self._look()
        self._board.scalars(step, numbers, prefix="iresnet")
        self._board.flush()
        self.checkpoints.keep(step, numbers | {"seconds": self._before + time.monotonic() - self._started})
