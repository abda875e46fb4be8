"""Gaussian linear: the mean of a normal with a normal prior, in ten dimensions."""

from __future__ import annotations

import math

import tensorflow as tf

from recipes.inverse_problems.problems.problem import Problem
from recipes.inverse_problems.problems.supports import Real

DIM, VARIANCE = 10, 0.1


class GaussianLinear(Problem):
    r"""`theta ~ N(0, 0.1 I)`, `x ~ N(theta, 0.1 I)` (variances); the posterior is `N(x / 2, 0.05 I)`.

    Source: Lueckmann et al., "Benchmarking Simulation-Based Inference" (2021), T.1.

    Example:
        >>> GaussianLinear().prior(4, tf.constant([0, 0])).shape
        TensorShape([4, 10])
    """

    name = "gaussian_linear"
    parameters = tuple(f"theta {i + 1}" for i in range(DIM))
    observations = tuple(f"x {i + 1}" for i in range(DIM))
    supports = (Real(),) * DIM
    deterministic = False

    def prior(self, n: int, seed: tf.Tensor) -> tf.Tensor:
        """Independent normals."""
        return math.sqrt(VARIANCE) * tf.random.stateless_normal([n, DIM], seed)

    def log_prior(self, x: tf.Tensor) -> tf.Tensor:
        """Theirs."""
        return -0.5 * tf.reduce_sum(tf.square(x), -1) / VARIANCE - 0.5 * DIM * math.log(2 * math.pi * VARIANCE)

    def forward(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """A normal around the parameters."""
        return x + math.sqrt(VARIANCE) * tf.random.stateless_normal(tf.shape(x), seed)
