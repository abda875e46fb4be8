"""Simple likelihood, complex posterior: four draws of a plane normal whose deviations are squares of parameters."""

from __future__ import annotations

import math

import tensorflow as tf

from inntf.core.whole_batch import draw_rows
from recipes.inverse_problems.problems.problem import Problem
from recipes.inverse_problems.problems.supports import Interval

DRAWS, JITTER = 4, 1e-6


class Slcp(Problem):
    r"""`theta ~ U(-3, 3)^5`; `x` holds four draws of `N((t0, t1), S)`, one after the other.

        S = [[s1^2, r s1 s2], [r s1 s2, s2^2]] + 1e-6 I,   s1 = t2^2,   s2 = t3^2,   r = tanh(t4)

    The posterior has four modes, for the squares hide two signs.

    Args:
        exchangeable: tell methods that the draws are independent given theta: their order is drawn anew in training
            (`symmetric`), and a surrogate of the likelihood may treat them one by one (`draws`).

    Source: Papamakarios et al., "Sequential Neural Likelihood" (2019); Lueckmann et al., "Benchmarking Simulation-Based
    Inference" (2021), T.3.

    Example:
        >>> Slcp().forward(tf.ones([3, 5]), tf.constant([0, 0])).shape
        TensorShape([3, 8])
    """

    name = "slcp"
    parameters = tuple(f"theta {i + 1}" for i in range(5))
    observations = tuple(f"draw {i + 1}, {axis}" for i in range(DRAWS) for axis in "xy")
    supports = (Interval(-3.0, 3.0),) * 5
    deterministic = False

    def __init__(self, exchangeable: bool = True):
        self.exchangeable = exchangeable

    @property
    def draws(self) -> int:
        """Four, if methods are told."""
        return DRAWS if self.exchangeable else 1

    def prior(self, n: int, seed: tf.Tensor) -> tf.Tensor:
        """Uniform."""
        return tf.random.stateless_uniform([n, 5], seed, -3.0, 3.0)

    def log_prior(self, x: tf.Tensor) -> tf.Tensor:
        """That of the cube."""
        return tf.fill(tf.shape(x)[:-1], -5.0 * math.log(6.0))

    def forward(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Four draws, by the Cholesky factor of S."""
        batch = tf.shape(x)[:-1]
        noise = tf.random.stateless_normal(tf.concat([batch, [DRAWS, 2]], 0), seed)
        first, second, correlation = tf.square(x[..., 2]), tf.square(x[..., 3]), tf.tanh(x[..., 4])
        top = tf.sqrt(tf.square(first) + JITTER)
        across = correlation * first * second / top
        # (1 - r^2) s2^2 + what the jitter leaves: no difference of near numbers.
        rest = tf.square(second) * (1.0 / tf.square(tf.cosh(x[..., 4])) + tf.square(correlation / top) * JITTER) + JITTER
        along = x[..., None, 0] + top[..., None] * noise[..., 0]
        up = x[..., None, 1] + across[..., None] * noise[..., 0] + tf.sqrt(rest)[..., None] * noise[..., 1]
        return tf.reshape(tf.stack([along, up], axis=-1), tf.concat([batch, [2 * DRAWS]], 0))

    def symmetric(self, y: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The draws of each row in another order."""
        if not self.exchangeable:
            return y
        draws = tf.reshape(y, [-1, DRAWS, 2])
        order = tf.argsort(draw_rows(lambda whole: tf.random.stateless_uniform(whole, seed), tf.shape(draws)[:2]), axis=-1)
        return tf.reshape(tf.gather(draws, order, axis=1, batch_dims=1), tf.shape(y))
