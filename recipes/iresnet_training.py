"""Train a keras.Model of this recipe: progress bar, TensorBoard, checkpoints, going on where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.common.errors import UserError
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
    return watch.history


class Watch(keras.callbacks.Callback):
    """After each epoch of Keras: losses and a look at the model to TensorBoard; a checkpoint if the weights are finite."""

    def __init__(self, watched: keras.Model, name: str, per_look: int, folder: RunFolder, look: Look):
        super().__init__()
        self._watched, self._name, self._per_look, self._folder, self._look = watched, name, per_look, folder, look
        self._board = Summaries(folder.logs / name)
        self._step = tf.Variable(0, dtype=tf.int64)
        self._started, self._before = time.monotonic(), 0.0
        # Lists of plain variables: nothing depends on where Keras keeps its layers.
        kept = {"weights": [w.value for w in watched.weights], "optimizer": [v.value for v in watched.optimizer.variables]}
        self._checkpoint = tf.train.Checkpoint(step=self._step, **kept)
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(folder.checkpoints / name), max_to_keep=2)
        self.history: list[dict[str, float]] = []

    def restore(self) -> int:
        """Step of the newest checkpoint, loaded; 0 without one."""
        if self._manager.latest_checkpoint is None:
            return 0
        try:
            self._checkpoint.restore(self._manager.latest_checkpoint).assert_existing_objects_matched()
        except (tf.errors.OpError, AssertionError, ValueError) as error:
            raise UserError(
                f"{self._name}: the checkpoint {self._manager.latest_checkpoint} cannot be read ({type(error).__name__})",
                remedy="Remove that checkpoint, or start anew in another --out.",
            ) from error
        self.history = list(self._folder.progress().get("histories", {}).get(self._name, []))
        self._before = float(self.history[-1]["seconds"]) if self.history else 0.0
        return int(self._step)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the model; keep it."""
        step = (epoch + 1) * self._per_look
        if not all(np.all(np.isfinite(w)) for w in self._watched.get_weights()):
            raise UserError(
                f"{self._name}: weights became NaN or infinite before step {step}; the last good checkpoint was kept",
                remedy="Lower the learning rate (--rate-classify, --rate-density, --rate-toys).",
            )
        numbers = {k: float(v) for k, v in (logs or {}).items()} | self._look()
        self._board.scalars(step, numbers, prefix="iresnet")
        self._board.flush()
        seconds = self._before + time.monotonic() - self._started
        self.history.append({"step": step, **numbers, "seconds": seconds})
        self._step.assign(step)
        self._manager.save(checkpoint_number=step)
        before = self._folder.progress()
        histories = {**before.get("histories", {}), self._name: self.history}
        self._folder.note_progress(**{**before, "histories": histories})
