"""Train one model on full batches: progress bar, TensorBoard, checkpoints, going on where it stopped."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core import Block
from inntf.stability import FlowRegularizer, weakest_block
from recipes.common.progress import Progress
from recipes.common.run_folder import RunFolder
from recipes.common.strategy import distributed_step, loss_share
from recipes.common.tensorboard import Summaries
from recipes.common.watch import Watch
from recipes.toy_regression import data
from recipes.toy_regression.measuring import Measurer
from recipes.toy_regression.settings import Config


def train(
    block: Block,
    name: str,
    coefficient: float,
    pairs: tuple[np.ndarray, np.ndarray],
    config: Config,
    strategy: tf.distribute.Strategy,
    folder: RunFolder,
) -> list[dict[str, float]]:
    """Minimize the mean squared error and the flow loss to the last step; returns the logged numbers."""
    with strategy.scope():
        optimizer = keras.optimizers.Adam(config.rate, epsilon=config.adam_epsilon)
        optimizer.build(block.trainable_weights)
    measurer = Measurer(block, *pairs, xla=config.xla)

    def look(step: int, losses: dict[str, float], board: Summaries) -> dict[str, float]:
        numbers = {**losses, **measurer.numbers()}
        board.scalars(step, numbers, prefix="toy_regression")
        return numbers

    remedy = "Lower --rate, or take a larger coefficient."
    weights, trained = block.weights, block.trainable_weights
    options = {"weights": weights, "trained": trained, "diagnose": lambda: weakest_block(block, pairs[0])}
    watch = Watch(folder, name, look=look, remedy=remedy, **options, block=block, optimizer=optimizer)
    start = watch.restore(config.steps)
    step_function = make_step(block, FlowRegularizer(coefficient) if coefficient else None, optimizer, strategy, config.xla)
    batches = iter(strategy.experimental_distribute_dataset(data.full_batches(*pairs)))
    with Progress(name, config.steps, start) as bar, watch.steps():
        for step in range(start + 1, config.steps + 1):
            loss = step_function(*next(batches))
            bar.update()
            if step % config.log_every == 0 or step == config.steps:
                watch.look(step, {"loss": float(loss)})
                shown = ("mse", "reconstruction_error_max", "condition_number")
                bar.show({key: watch.history[-1][key] for key in shown})
            watch.pause(step)
    return watch.finish()


def make_step(
    block: Block, regularizer: FlowRegularizer | None, optimizer: Any, strategy: tf.distribute.Strategy, xla: bool
) -> Any:
    """A compiled function of a full batch: one step of the optimizer."""
    weights = block.trainable_weights

    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            z, log_det = block.forward_and_log_det(x)
            loss = tf.reduce_mean(tf.square(z - y))
            if regularizer is not None:
                loss += regularizer(block, x, outputs=(z, log_det))
            share = loss_share(loss)
        optimizer.apply(tape.gradient(share, [w.value for w in weights]), weights)
        return loss

    return distributed_step(strategy, step, jit_compile=xla)
