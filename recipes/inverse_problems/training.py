"""Train one method on simulated pairs, from its newest checkpoint if there is one."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from inntf.stability import weakest_block
from inntf.training import clip_what_replicas_add_up
from recipes.common.progress import Progress
from recipes.common.run_folder import RunFolder
from recipes.common.schedule import warm_cosine
from recipes.common.strategy import distributed_step, loss_share
from recipes.common.tensorboard import Summaries
from recipes.common.watch import Watch
from recipes.inverse_problems.coordinates import Coordinates
from recipes.inverse_problems.methods.method import Method
from recipes.inverse_problems.problems.problem import simulate

_INIT = 4096  # pairs of data-dependent initialization
_SHOWN = 64  # pairs of a diagnosis
_CLIP = 10.0  # of the gradients' norm
_RARE, _MOST = 0.15, 6.0  # how much more often rare observations are drawn, and the largest exponent of a weight


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Simulated pairs in model coordinates: `x`, `y` as float32 arrays, and whether y is that of noisy counts."""

    x: np.ndarray
    y: np.ndarray


def make_pairs(coordinates: Coordinates, n: int, seed: int, *, supervised: bool) -> Pairs:
    """`n` pairs in standardized coordinates.

    Args:
        coordinates: of the problem.
        n: number of pairs.
        seed: the same seed gives the same parameters, supervised or not.
        supervised: y is simulated anew from the noisy counts, so that it is a smooth function of what the model sees.
    """
    problem = coordinates.problem
    x, y = simulate(problem, n, seed)
    noise = tf.constant([seed, 2**20])
    v = coordinates.standardized(x, noise)
    if supervised and problem.deterministic:
        y_noisy = problem.forward(coordinates.parameters(v, rounded=False), noise)
        valid = tf.reduce_all(tf.math.is_finite(y_noisy), axis=-1, keepdims=True)
        y = tf.where(valid, y_noisy, y)
    return Pairs(v.numpy(), coordinates.observed(y).numpy())


@dataclasses.dataclass(frozen=True)
class Training:
    """How a method is trained, the same for all of a run."""

    steps: int
    batch_size: int
    rate: float
    seed: int
    log_every: int


def train(
    method: Method,
    name: str,
    coordinates: Coordinates,
    pairs: Pairs,
    held_out: Pairs,
    how: Training,
    strategy: tf.distribute.Strategy,
    folder: RunFolder | None = None,
) -> list[dict[str, float]]:
    """Minimize the objective to the last step; returns what was logged.

    Args:
        method: built or not; its variables are made under the strategy's scope.
        name: of the training in bars, logs and checkpoints.
        coordinates: of the problem, for its symmetries.
        pairs: to train on.
        held_out: to test on.
        how: steps, batch, rate, seed.
        strategy: of the run.
        folder: of the run; without one nothing is kept.
    """
    method.noise_of_y = 1.0 if coordinates.problem.deterministic else 0.0
    method.prepare(tf.constant(pairs.x[:_INIT]), tf.constant(pairs.y[:_INIT]))
    with strategy.scope():
        optimizer = keras.optimizers.Adam(warm_cosine(how.rate, how.steps), beta_2=0.99, global_clipnorm=_CLIP)
        clip_what_replicas_add_up(optimizer)
        optimizer.build(method.trainable_variables)
    test = tf.function(lambda x, y: method.objective(x, y, tf.constant([how.seed, -1]), tf.constant(1.0)), autograph=False)
    x_test, y_test = tf.constant(held_out.x), tf.constant(held_out.y)

    def look(step: int, losses: dict[str, float], board: Summaries) -> dict[str, float]:
        numbers = {**losses, "test_loss": float(test(x_test, y_test))}
        board.scalars(step, numbers, prefix="inverse_problems")
        return numbers

    weights, trained = method.weights, method.trainable_weights
    watch, start = None, 0
    if folder is not None:
        remedy = "Lower --rate."
        parts = {"model": method.variables, "optimizer": optimizer}
        options = {"weights": weights, "trained": trained, "diagnose": _diagnosis(method, pairs)}
        watch = Watch(folder, name, look=look, remedy=remedy, **options, **parts)
        start = watch.restore()
    step_function = _make_step(method, coordinates, optimizer, how, strategy)
    rare = 0.0 if coordinates.scores is None else _RARE
    batches = iter(strategy.experimental_distribute_dataset(stream(pairs, how, start, rare)))
    total, since = 0.0, 0
    with (
        Progress(name, how.steps, start, digits=4) as bar,
        watch.steps() if watch else contextlib.nullcontext(),
    ):
        for step in range(start + 1, how.steps + 1):
            total, since = total + step_function(*next(batches)), since + 1
            bar.update()
            if step % how.log_every == 0 or step == how.steps:
                if step == how.steps:
                    method.finish()
                mean, total, since = float(total) / since, 0.0, 0
                bar.show({"loss": mean})
                if watch is not None:
                    watch.look(step, {"loss": mean})
            if watch is not None:
                watch.pause(step)
    return watch.finish() if watch is not None else []


def _diagnosis(method: Method, pairs: Pairs) -> Callable[[], str] | None:
    """Which block is likely to have broken, of a method that has some."""
    block = method.invertible_block()
    if block is None:
        return None
    return lambda: weakest_block(block, *method.block_input(tf.constant(pairs.x[:_SHOWN]), tf.constant(pairs.y[:_SHOWN])))


def stream(pairs: Pairs, how: Training, start: int, rare: float = 0.0) -> tf.data.Dataset:
    """Endless batches drawn with replacement, a function of the seed and the step alone.

    A pair is drawn with a weight of `exp(rare |w|^2)`, w its observation: normal scores of variance 1 get one of
    `1 / (1 - 2 rare)`.  Weights that depend on y alone leave `p(x | y)` as it is; rare observations get their share of steps.

    Args:
        pairs: to draw from.
        how: batch and seed.
        start: the first step.
        rare: see above, below 1/2.
    """
    x, y = tf.constant(pairs.x), tf.constant(pairs.y)
    exponents = np.minimum(rare * np.sum(pairs.y.astype(np.float64) ** 2, axis=-1), _MOST)
    heaps = tf.constant(np.cumsum(np.exp(exponents)))

    def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        seed = tf.stack([tf.constant(how.seed, tf.int64), step])
        places = heaps[-1] * tf.random.stateless_uniform([how.batch_size], seed, dtype=tf.float64)
        rows = tf.minimum(tf.searchsorted(heaps, places, side="right"), len(pairs.x) - 1)
        return tf.gather(x, rows), tf.gather(y, rows)

    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return tf.data.Dataset.range(start, tf.int64.max).map(batch).prefetch(2).with_options(options)


def _make_step(
    method: Method, coordinates: Coordinates, optimizer: keras.Optimizer, how: Training, strategy: tf.distribute.Strategy
):
    weights, problem = method.trainable_variables, coordinates.problem

    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        now = tf.cast(optimizer.iterations, tf.int32)
        seed = tf.stack([tf.constant(how.seed), now])
        y = problem.symmetric(y, seed)
        with tf.GradientTape() as tape:
            loss = method.objective(x, y, seed, tf.cast(now, tf.float32) / how.steps)
            share = loss_share(loss)
        optimizer.apply(tape.gradient(share, [w.value for w in weights]), weights)
        method.after_step()
        return loss

    return distributed_step(strategy, step, jit_compile=method.jit_compile)
