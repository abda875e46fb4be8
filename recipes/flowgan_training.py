"""Train one variant: progress bar, TensorBoard, checkpoints, going on where it stopped."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.training import write_stability
from recipes import flowgan_models as models
from recipes.common.batches import batches
from recipes.common.errors import UserError
from recipes.common.image_data import ImageData
from recipes.common.progress import Progress
from recipes.common.run_folder import RunFolder
from recipes.common.tensorboard import Summaries


def train(gan: Any, name: str, steps: int, config: Any, data: ImageData, folder: RunFolder) -> list[dict[str, float]]:
    """Train to `steps`, from the newest checkpoint if there is one; returns the logged numbers."""
    watch = Watch(gan, name, steps, config, data, folder)
    start = watch.restore()
    if start >= steps:
        return watch.history
    keras.utils.set_random_seed(config.seed + start)
    dataset = batches(data.train, config.batch_size, config.seed, start=start)
    dataset = dataset.map(lambda pixels: tf.cast(pixels, tf.float32) / 256 - 0.5)
    per_epoch = min(config.log_every, steps)
    epochs = -(-steps // per_epoch)
    gan.fit(
        dataset,
        initial_epoch=start // per_epoch,
        epochs=epochs,
        steps_per_epoch=per_epoch,
        verbose=0,
        shuffle=False,  # the dataset is shuffled already
        callbacks=[watch, Progress(name, epochs * per_epoch, start)],
    )
    return watch.history


class Watch(keras.callbacks.Callback):
    """After each epoch: losses, stability and samples to TensorBoard; a checkpoint if the weights are finite."""

    def __init__(self, gan: Any, name: str, steps: int, config: Any, data: ImageData, folder: RunFolder):
        super().__init__()
        self._gan, self._name, self._config, self._steps = gan, name, config, steps
        self._per_epoch = min(config.log_every, steps)
        self._board = Summaries(folder.logs / name)
        self._stability = tf.summary.create_file_writer(str(folder.logs / name))
        self._x = models.scaled(data.test[:32], 1)
        self._step = tf.Variable(0, dtype=tf.int64)
        self._folder, self.history = folder, []
        parts = {"block": gan.block, "optimizer": gan.optimizer, "step": self._step}
        if gan.discriminator is not None:
            parts |= {"discriminator": gan.discriminator, "discriminator_optimizer": gan.discriminator_optimizer}
        self._checkpoint = tf.train.Checkpoint(**parts)
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(folder.checkpoints / name), max_to_keep=2)

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
        return int(self._step)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the model; keep it."""
        step = (epoch + 1) * self._per_epoch
        logs = {k: float(v) for k, v in (logs or {}).items()}
        numbers = {}
        if (epoch + 1) % 2 == 0 or step >= self._steps:  # a look at the inverse costs as much as dozens of steps
            numbers, _ = write_stability(
                self._stability, self._gan.block, self._x, step, passes=self._config.passes, samples=1, iterations=15
            )
        self._board.scalars(step, logs, prefix="train")
        samples = models.to_pixels(models.sample_in_batches(self._gan.flow, 16, self._config.seed))
        self._board.images(step, "samples", samples)
        self._board.flush()
        if not all(np.all(np.isfinite(w)) for w in self._gan.get_weights()):
            raise UserError(
                f"{self._name}: weights became NaN or infinite at step {step}; the last good checkpoint was kept",
                remedy="Lower --rate-generator, or use --architecture stable.",
            )
        self.history.append({"step": step, **logs, **numbers})
        self._step.assign(step)
        self._manager.save(checkpoint_number=step)
        before = self._folder.progress()
        histories = {**before.get("histories", {}), self._name: self.history}
        self._folder.note_progress(**{**before, "histories": histories})
