"""Train one variant, and what is looked at meanwhile."""

from __future__ import annotations

import tensorflow as tf

from inntf.models import FlowGan
from inntf.training import write_stability
from recipes.common.batches import batches
from recipes.common.image_data import ImageData
from recipes.common.keras_fit import fit_in_segments
from recipes.common.run_folder import RunFolder
from recipes.common.tensorboard import Summaries
from recipes.common.watch import Watch
from recipes.flowgan import models
from recipes.flowgan.settings import Config


def train(gan: FlowGan, name: str, steps: int, config: Config, data: ImageData, folder: RunFolder) -> list[dict[str, float]]:
    """Train to `steps`, from the newest checkpoint if there is one; returns the logged numbers."""
    stability = tf.summary.create_file_writer(str(folder.logs / name))
    x = models.scaled(data.test[:32], 1)

    def look(step: int, losses: dict[str, float], board: Summaries) -> dict[str, float]:
        board.scalars(step, losses, prefix="train")
        board.images(step, "samples", models.to_pixels(models.sample_in_batches(gan.flow, 16, config.seed)))
        if step % (2 * config.log_every) and step < steps:  # a look at the inverse costs dozens of steps
            return losses
        numbers, _ = write_stability(stability, gan.block, x, step, passes=config.passes, samples=1, iterations=15)
        return {**losses, **numbers}

    def stream(step: int) -> tf.data.Dataset:
        pixels = batches(data.train, config.batch_size, config.seed, start=step)
        return pixels.map(lambda x: tf.cast(x, tf.float32) / 256 - 0.5)

    # All that the training is a function of: what a step draws depends on the seed and the optimizer's iterations.
    parts = {"block": gan.block, "optimizer": gan.optimizer}
    if gan.discriminator is not None:
        parts |= {"discriminator": gan.discriminator, "discriminator_optimizer": gan.discriminator_optimizer}
    remedy = "Lower --rate-generator, or use --architecture stable."
    watch = Watch(folder, name, weights=gan.weights, trained=gan.block.trainable_weights, look=look, remedy=remedy, **parts)
    fit_in_segments(gan, name, stream, watch.restore(), steps, config.log_every, watch.look)
    return watch.finish()
