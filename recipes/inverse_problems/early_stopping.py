"""Train a method on few simulations: stop where held-out ones say so, keep the best averaged weights."""

from __future__ import annotations

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from recipes.common.schedule import warm_cosine
from recipes.inverse_problems.coordinates import Coordinates
from recipes.inverse_problems.methods.method import Method
from recipes.inverse_problems.training import Pairs


@dataclasses.dataclass(frozen=True)
class Stopping:
    """How a method is fitted.

    Attributes:
        steps: the most steps; the learning rate falls to zero over them.
        batch_size, rate, weight_decay: of AdamW.
        average: decay of the moving average of the weights; the averaged ones are looked at and kept.
        look_every: steps between looks at held-out pairs.
        patience: looks without a better one before it stops.
    """

    steps: int = 4000
    batch_size: int = 256
    rate: float = 1e-3
    weight_decay: float = 1e-4
    average: float = 0.998
    look_every: int = 200
    patience: int = 10


def fit(
    method: Method, name: str, coordinates: Coordinates, pairs: Pairs, held_out: Pairs, how: Stopping, seed: int
) -> list[float]:
    """Minimize the objective; the method ends with the averaged weights that were best on held-out pairs.

    Args:
        method: built; prepared here, with all pairs.
        name: in the bar.
        coordinates: of the problem, for its symmetries.
        pairs: to train on.
        held_out: to choose by; of the same budget of simulations.
        how: steps, rate, patience.
        seed: of batches and of what the method draws.

    Returns:
        The held-out losses, one a look, from the start on.
    """
    method.prepare(tf.constant(pairs.x), tf.constant(pairs.y))
    optimizer = keras.optimizers.AdamW(
        warm_cosine(how.rate, how.steps), weight_decay=how.weight_decay, beta_2=0.99, global_clipnorm=5.0
    )
    optimizer.build(method.trainable_variables)
    values = [w.value for w in method.trainable_variables]
    averages = [tf.Variable(v) for v in values]
    x, y = tf.constant(pairs.x), tf.constant(pairs.y)
    x_held, y_held = tf.constant(held_out.x), tf.constant(held_out.y)

    @tf.function(autograph=False)
    def one(step: tf.Tensor) -> tf.Tensor:
        seeds = tf.stack([tf.constant(seed), step])
        rows = tf.random.stateless_uniform([how.batch_size], seeds, 0, len(pairs.x), tf.int32)
        y_batch = coordinates.problem.symmetric(tf.gather(y, rows), seeds + 1)
        with tf.GradientTape() as tape:
            loss = method.objective(tf.gather(x, rows), y_batch, seeds, tf.cast(step, tf.float32) / how.steps)
        optimizer.apply(tape.gradient(loss, values), method.trainable_variables)
        now = tf.cast(step, tf.float32)
        decay = tf.minimum(how.average, (1.0 + now) / (10.0 + now))
        for average, value in zip(averages, values, strict=True):
            average.assign_add((1.0 - decay) * (value - average))
        return loss

    @tf.function(autograph=False)
    def held() -> tf.Tensor:
        return method.objective(x_held, y_held, tf.constant([seed, -1]), tf.constant(1.0))

    def look() -> float:
        kept = [tf.identity(v) for v in values]
        _assign(values, averages)
        loss = float(held())
        _assign(values, kept)
        return loss

    losses = [look()]
    best, best_weights, since = losses[0], [a.numpy() for a in averages], 0
    with tqdm(total=how.steps, desc=name, unit="step", mininterval=1.0) as bar:
        for step in range(how.steps):
            one(tf.constant(step))
            bar.update()
            if (step + 1) % how.look_every and step + 1 < how.steps:
                continue
            losses.append(look())
            bar.set_postfix({"held out": f"{losses[-1]:.4f}", "best": f"{best:.4f}"})
            since += 1
            if losses[-1] < best:
                best, best_weights, since = losses[-1], [a.numpy() for a in averages], 0
            if since >= how.patience or not math.isfinite(losses[-1]):
                break
    _assign(values, best_weights)
    method.finish()
    return losses


def _assign(values: list[tf.Variable], others: list[tf.Variable] | list[np.ndarray]) -> None:
    for value, other in zip(values, others, strict=True):
        value.assign(other)
