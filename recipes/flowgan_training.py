"""Train one variant: progress bar, TensorBoard, checkpoints, going on where it stopped."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from inntf.training import write_stability
from recipes import flowgan_models as models
from recipes.common.batches import batches
from recipes.common.checkpoints import Checkpoints, refuse_unmoved
from recipes.common.image_data import ImageData
from recipes.common.keras_fit import fit_in_segments
from recipes.common.run_folder import RunFolder
from recipes.common.tensorboard import Summaries


def train(gan: Any, name: str, steps: int, config: Any, data: ImageData, folder: RunFolder) -> list[dict[str, float]]:
    """Train to `steps`, from the newest checkpoint if there is one; returns the logged numbers."""
    before = [w.numpy() for w in gan.block.trainable_weights]
    watch = Watch(gan, name, steps, config, data, folder)
    start = watch.checkpoints.restore()

    def stream(step: int) -> tf.data.Dataset:
        pixels = batches(data.train, config.batch_size, config.seed, start=step)
        return pixels.map(lambda x: tf.cast(x, tf.float32) / 256 - 0.5)

    fit_in_segments(gan, name, stream, start, steps, config.log_every, watch.look)
    refuse_unmoved(name, before, [w.numpy() for w in gan.block.trainable_weights])
    return watch.checkpoints.history


class Watch:
    """Every so many steps: losses, stability and samples to TensorBoard; a checkpoint if the weights are finite."""

    def __init__(self, gan: Any, name: str, steps: int, config: Any, data: ImageData, folder: RunFolder):
        self._gan, self._config, self._steps = gan, config, steps
        self._board = Summaries(folder.logs / name)
        self._stability = tf.summary.create_file_writer(str(folder.logs / name))
        self._x = models.scaled(data.test[:32], 1)
        # All that the training is a function of: what a step draws depends on the seed and the optimizer's iterations.
        parts = {"block": gan.block, "optimizer": gan.optimizer}
        if gan.discriminator is not None:
            parts |= {"discriminator": gan.discriminator, "discriminator_optimizer": gan.discriminator_optimizer}
        self.checkpoints = Checkpoints(folder, name, **parts)

    def look(self, step: int, logs: dict[str, float]) -> None:
        """Look at the model; keep it."""
        numbers = {}
        if step % (2 * self._config.log_every) == 0 or step >= self._steps:  # a look at the inverse costs dozens of steps
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
