"""Train one flow: fresh samples every step, progress bar, TensorBoard, checkpoints, going on where it stopped."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.models import Flow
from inntf.stability import weakest_block
from inntf.training import clip_what_replicas_add_up, update_spectral_norms
from recipes.checkerboard import data
from recipes.checkerboard.figures import map_figure
from recipes.checkerboard.maps import Mapper, describe, grid_axis
from recipes.checkerboard.settings import Config
from recipes.common.progress import Progress
from recipes.common.run_folder import RunFolder
from recipes.common.schedule import warm_cosine
from recipes.common.strategy import distributed_step, loss_share
from recipes.common.tensorboard import Summaries
from recipes.common.watch import Watch

_COARSE = 0.5  # grid step of the looks at the inverse during training


def settings(name: str, config: Config) -> tuple[int, float]:
    """Number of steps and highest learning rate of a flow."""
    if name == "residual":
        return config.steps_residual, config.rate_residual
    return config.steps_affine, config.rate_affine


def train(flow: Flow, name: str, config: Config, strategy: tf.distribute.Strategy, folder: RunFolder) -> list[dict[str, float]]:
    """Minimize `-mean log_prob` to the last step, from the newest checkpoint if there is one; returns the logged numbers."""
    steps, rate = settings(name, config)
    with strategy.scope():
        optimizer = keras.optimizers.Adam(
            warm_cosine(rate, steps) if config.schedule == "cosine" else rate, global_clipnorm=config.clip_norm
        )
        clip_what_replicas_add_up(optimizer)
        optimizer.build(flow.block.trainable_weights)
    mapper, axis = Mapper(flow), grid_axis(_COARSE)
    likelihood, test = Likelihood(flow), data.test_set(config.test_samples, config.seed)

    def look(step: int, losses: dict[str, float], board: Summaries) -> dict[str, float]:
        maps = mapper(axis)
        found = describe(maps, axis)
        numbers = {
            **losses,
            "test_nll": float(-np.mean(likelihood(test))),
            "error_inside": found["error"]["inside"]["max"],
            "error_outside": found["error"]["outside"]["max"],
            "error_max": found["largest_error"],
            "condition_number": found["condition_number"]["outside"]["max"],
            "nonfinite_values": found["nonfinite_values"],
        }
        board.scalars(step, numbers, prefix="checkerboard")
        board.figure(step, "maps", map_figure(maps, f"{name}, step {step}"))
        return numbers

    remedy = "Lower --rate-affine or --rate-residual."
    weights, trained = flow.block.weights, flow.block.trainable_weights
    parts = {"block": flow.block, "optimizer": optimizer, "diagnose": lambda: weakest_block(flow, test)}
    watch = Watch(folder, name, weights=weights, trained=trained, look=look, remedy=remedy, **parts)
    start = watch.restore(steps)
    step_function = make_step(flow, optimizer, strategy, normed=name == "residual")
    batches = iter(strategy.experimental_distribute_dataset(data.batches(config.batch_size, config.seed, start)))
    losses: list[tf.Tensor] = []
    with Progress(name, steps, start, digits=4) as bar, watch.steps():
        for step in range(start + 1, steps + 1):
            losses.append(step_function(next(batches)))
            bar.update()
            if step % config.log_every == 0 or step == steps:
                watch.look(step, {"train_nll": float(np.mean([loss.numpy() for loss in losses]))})
                bar.show({key: watch.history[-1][key] for key in ("train_nll", "test_nll", "error_max")})
                losses.clear()
            watch.pause(step)
    return watch.finish()


def make_step(flow: Flow, optimizer: Any, strategy: tf.distribute.Strategy, *, normed: bool) -> Any:
    """A compiled function of a batch: one step of the optimizer, then (if `normed`) one update of the spectral norms."""
    weights = flow.block.trainable_weights

    def step(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(flow.log_prob(x))
            share = loss_share(loss)
        optimizer.apply(tape.gradient(share, [w.value for w in weights]), weights)
        return loss

    over_replicas = distributed_step(strategy, step)
    if not normed:
        return over_replicas
    # Many tiny products one after the other: XLA makes one program of them, where there is one device.
    update = tf.function(
        lambda: update_spectral_norms(flow.block), jit_compile=strategy.num_replicas_in_sync == 1, autograph=False
    )

    def both(x: tf.Tensor) -> tf.Tensor:
        loss = over_replicas(x)
        update()
        return loss

    return both


class Likelihood:
    """`log_prob` of many samples, float64, by one traced function."""

    def __init__(self, flow: Flow):
        self._log_prob = tf.function(flow.log_prob, [tf.TensorSpec([None, 2], tf.float32)], autograph=False)

    def __call__(self, x: tf.Tensor, batch_size: int = 2000) -> np.ndarray:
        parts = [self._log_prob(x[i : i + batch_size]) for i in range(0, len(x), batch_size)]
        return np.concatenate([part.numpy().astype(np.float64) for part in parts])
