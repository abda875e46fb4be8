"""Gaussian mixture: the common mean of a broad and a narrow normal in the plane."""

from __future__ import annotations

import math

import tensorflow as tf

from recipes.inverse_problems.problems.problem import Problem
from recipes.inverse_problems.problems.supports import Interval

BROAD, NARROW, EDGE = 1.0, 0.1, 10.0


class GaussianMixture(Problem):
    r"""`theta ~ U(-10, 10)^2`, `x ~ N(theta, I) / 2 + N(theta, 0.01 I) / 2`: one choice for both coordinates.

    Source: Sisson et al., "Sequential Monte Carlo without likelihoods" (2007); Lueckmann et al., "Benchmarking
    Simulation-Based Inference" (2021), T.7.

    Example:
        >>> GaussianMixture().forward(tf.zeros([3, 2]), tf.constant([0, 0])).shape
        TensorShape([3, 2])
    """

    name = "gaussian_mixture"
    parameters = ("theta 1", "theta 2")
    observations = ("x 1", "x 2")
    supports = (Interval(-EDGE, EDGE),) * 2
    deterministic = False

    def prior(self, n: int, seed: tf.Tensor) -> tf.Tensor:
        """Uniform."""
        return tf.random.stateless_uniform([n, 2], seed, -EDGE, EDGE)

    def log_prior(self, x: tf.Tensor) -> tf.Tensor:
        """That of the square."""
        return tf.fill(tf.shape(x)[:-1], -2.0 * math.log(2 * EDGE))

    def forward(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """A draw of one of the two normals."""
        draws = tf.random.split(seed, 2)
        broad = tf.random.stateless_uniform([*tf.unstack(tf.shape(x)[:-1]), 1], draws[0]) < 0.5
        return x + tf.where(broad, BROAD, NARROW) * tf.random.stateless_normal(tf.shape(x), draws[1])
