"""Two moons: a crescent of observations around a point that two places of the parameters share."""

from __future__ import annotations

import math

import tensorflow as tf

from recipes.inverse_problems.problems.problem import Problem
from recipes.inverse_problems.problems.supports import Interval

RADIUS, RADIUS_SD, SHIFT = 0.1, 0.01, 0.25


class TwoMoons(Problem):
    r"""`theta ~ U(-1, 1)^2`; a posterior of two crescents.

        x = (r cos a + 1/4, r sin a) + (-|t0 + t1|, t1 - t0) / sqrt(2),   a ~ U(-pi/2, pi/2),   r ~ N(0.1, 0.01^2)

    Source: Greenberg et al., "Automatic Posterior Transformation" (2019); Lueckmann et al., "Benchmarking Simulation-Based
    Inference" (2021), T.8.

    Example:
        >>> TwoMoons().forward(tf.zeros([3, 2]), tf.constant([0, 0])).shape
        TensorShape([3, 2])
    """

    name = "two_moons"
    parameters = ("theta 1", "theta 2")
    observations = ("x 1", "x 2")
    supports = (Interval(-1.0, 1.0),) * 2
    deterministic = False

    def prior(self, n: int, seed: tf.Tensor) -> tf.Tensor:
        """Uniform."""
        return tf.random.stateless_uniform([n, 2], seed, -1.0, 1.0)

    def log_prior(self, x: tf.Tensor) -> tf.Tensor:
        """That of the square."""
        return tf.fill(tf.shape(x)[:-1], -math.log(4.0))

    def forward(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """A point of the crescent."""
        draws = tf.random.split(seed, 2)
        angle = tf.random.stateless_uniform(tf.shape(x)[:-1], draws[0], -math.pi / 2, math.pi / 2)
        radius = RADIUS + RADIUS_SD * tf.random.stateless_normal(tf.shape(x)[:-1], draws[1])
        crescent = tf.stack([radius * tf.cos(angle) + SHIFT, radius * tf.sin(angle)], axis=-1)
        total, difference = x[..., 0] + x[..., 1], x[..., 1] - x[..., 0]
        return crescent + tf.stack([-tf.abs(total), difference], axis=-1) / math.sqrt(2.0)
