"""Train one variant, and what is looked at meanwhile."""

from __future__ import annotations

import contextlib
import pathlib

import numpy as np
import tensorflow as tf
from matplotlib import image

from inntf.models import FlowGan
from inntf.stability import summarize, weakest_block
from inntf.training import write_stability
from recipes.common import files
from recipes.common.batches import batches
from recipes.common.fid import Features, as_pixels, confident_share
from recipes.common.figures import mosaic
from recipes.common.image_data import ImageData
from recipes.common.keras_fit import fit_in_segments
from recipes.common.run_folder import RunFolder
from recipes.common.tensorboard import Summaries
from recipes.common.watch import Watch
from recipes.flowgan import models
from recipes.flowgan.measuring import PASSED, distances
from recipes.flowgan.settings import Config

LOOKED_AT = 64
SO_FAR = "samples.png"  # of the model in training


def samples_at(folder: RunFolder, name: str, step: int) -> pathlib.Path:
    """File with eight samples of a training at a step, `samples` on the scale 0 to 255."""
    return folder.path / f"samples_{name}_{step:06d}.npz"


def train(
    gan: FlowGan,
    flow: models.TracedFlow,
    name: str,
    config: Config,
    data: ImageData,
    features: Features,
    folder: RunFolder,
) -> list[dict[str, float]]:
    """Train `gan`, whose flow is `flow`, from the newest checkpoint if there is one; returns the logged numbers."""
    steps = config.steps(gan.objective)
    stability = tf.summary.create_file_writer(str(folder.logs / name))
    x = models.scaled(data.test[:PASSED], 1)

    def look(step: int, losses: dict[str, float], board: Summaries) -> dict[str, float]:
        board.scalars(step, losses, prefix="train")
        samples = flow.sample(LOOKED_AT, config.seed)
        board.images(step, "samples", samples[:16])
        with files.atomic(folder.path / SO_FAR) as beside:
            image.imsave(beside, np.kron(mosaic(samples[:16]), np.ones([4, 4, 1])))  # each pixel as 4 x 4
        with files.atomic(samples_at(folder, name, step)) as beside:
            np.savez_compressed(beside, samples=samples[:8].astype(np.float32))
        losses = {**losses, "confident_share": confident_share(features, as_pixels(samples)[0]) or 0.0}
        errors = distances(x, flow.passes(x, 1)[1])
        losses["reconstruction_error_max"] = summarize(errors).max  # of the finite ones, as write_stability has it
        if step == steps:  # trained, it is measured with care
            return losses
        jacobian = {"samples": 1, "iterations": 15, "precision": "float64"}
        numbers, _ = write_stability(stability, gan.block, x, step, passes=config.passes, **jacobian)
        return {**losses, **numbers}

    def stream(step: int) -> tf.data.Dataset:
        pixels = batches(data.train, config.batch_size, config.seed, start=step)
        return pixels.map(lambda x: tf.cast(x, tf.float32) / 256 - 0.5)

    # All that the training is a function of: what a step draws depends on the seed and the optimizer's iterations.
    parts = {"block": gan.block, "optimizer": gan.optimizer}
    if gan.discriminator is not None:
        parts |= {"discriminator": gan.discriminator, "discriminator_optimizer": gan.discriminator_optimizer}
    options = {"weights": gan.weights, "trained": gan.block.trainable_weights, "diagnose": lambda: weakest_block(gan, x)}
    remedy = "Lower --rate-generator, or use --architecture stable."
    watch = Watch(folder, name, look=look, remedy=remedy, **options, **parts)
    fit_in_segments(gan, name, stream, watch.restore(steps), steps, config.between_looks(gan.objective), watch)
    return watch.finish()


def samples_on_the_way(folder: RunFolder, name: str, history: list[dict[str, float]]) -> dict[int, np.ndarray]:
    """Eight samples by step, of the looks whose files are there."""
    found = {}
    for step in (int(look["step"]) for look in history):
        with contextlib.suppress(OSError, ValueError, KeyError), np.load(samples_at(folder, name, step)) as file:
            found[step] = file["samples"]
    return found
