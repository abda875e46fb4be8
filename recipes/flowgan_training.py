"""Train one variant: progress bar, TensorBoard, checkpoints, going on where it stopped."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from inntf.training import write_stability
from recipes import flowgan_models as models
from recipes.common.batches import batches
from recipes.common.checkpoints import Checkpoints
from recipes.common.image_data import ImageData
from recipes.common.progress import Progress
from recipes.common.run_folder import RunFolder
from recipes.common.tensorboard import Summaries


def train(gan: Any, name: str, steps: int, config: Any, data: ImageData, folder: RunFolder) -> list[dict[str, float]]:
    """Train to `steps`, from the newest checkpoint if there is one; returns the logged numbers."""
    watch = Watch(gan, name, steps, config, data, folder)
    start = watch.checkpoints.restore()
    if start >= steps:
        return watch.checkpoints.history
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
    return watch.checkpoints.history


class Watch(keras.callbacks.Callback):
    """After each epoch: losses, stability and samples to TensorBoard; a checkpoint if the weights are finite."""

    def __init__(self, gan: Any, name: str, steps: int, config: Any, data: ImageData, folder: RunFolder):
        super().__init__()
        self._gan, self._config, self._steps = gan, config, steps
        self._per_epoch = min(config.log_every, steps)
        self._board = Summaries(folder.logs / name)
        self._stability = tf.summary.create_file_writer(str(folder.logs / name))
        self._x = models.scaled(data.test[:32], 1)
        parts = {"block": gan.block, "optimizer": gan.optimizer}
        if gan.discriminator is not None:
            parts |= {"discriminator": gan.discriminator, "discriminator_optimizer": gan.discriminator_optimizer}
        self.checkpoints = Checkpoints(folder, name, **parts)

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
        remedy = "Lower --rate-generator, or use --architecture stable."
        self.checkpoints.refuse_nonfinite(self._gan.get_weights(), step, remedy)
        self.checkpoints.keep(step, {**logs, **numbers})
