"""Bernoulli GLM: the filter of a neuron that sees white noise and fires, from the sums of what it saw when it fired."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from recipes.inverse_problems.problems.problem import Problem
from recipes.inverse_problems.problems.supports import Real

STEPS, LAGS = 100, 9
STIMULUS_SEED = 42


class BernoulliGlm(Problem):
    r"""`theta ~ N(0, P^-1)`: an offset and a smooth filter of nine lags; `x = V^T s` of `s_i ~ Bernoulli(sigmoid(V theta)_i)`.

    `V` (100, 10) has a column of ones and the stimulus at lags 0 to 8; `P = blockdiag(1/2, F^T F)` with
    `F = D^2 + diag(sqrt(i / 9))`, i = 0..8, and `D` the identity minus ones below the diagonal.  x is sufficient: the number
    of spikes and the spike-triggered sums.

    Source: Lueckmann et al., "Benchmarking Simulation-Based Inference" (2021), T.5.

    Example:
        >>> BernoulliGlm().forward(tf.zeros([3, 10]), tf.constant([0, 0])).shape
        TensorShape([3, 10])
    """

    name = "bernoulli_glm"
    parameters = ("offset", *(f"filter {i}" for i in range(LAGS)))
    observations = ("spikes", *(f"sum at lag {i}" for i in range(LAGS)))
    supports = (Real(),) * (LAGS + 1)
    deterministic = False

    def __init__(self) -> None:
        self.design = design_matrix()
        self.precision = precision_matrix()
        # theta = R^-T e has the precision R R^T.
        self._factor = np.linalg.inv(np.linalg.cholesky(self.precision)).astype(np.float32)

    def prior(self, n: int, seed: tf.Tensor) -> tf.Tensor:
        """A correlated normal."""
        return tf.random.stateless_normal([n, LAGS + 1], seed) @ self._factor

    def log_prior(self, x: tf.Tensor) -> tf.Tensor:
        """Its density."""
        precision = tf.constant(self.precision, x.dtype)
        constant = 0.5 * np.linalg.slogdet(self.precision)[1] - 0.5 * (LAGS + 1) * math.log(2 * math.pi)
        return float(constant) - 0.5 * tf.reduce_sum((x @ precision) * x, -1)

    def forward(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """A spike train, summed up."""
        design = tf.constant(self.design, tf.float32)
        rate = tf.sigmoid(tf.matmul(x, design, transpose_b=True))
        spikes = tf.random.stateless_uniform(tf.shape(rate), seed) < rate
        return tf.cast(spikes, tf.float32) @ design


def design_matrix() -> np.ndarray:
    """V, `(100, 10)`, float64: the task's white noise is `RandomState(42)`'s, whose stream numpy keeps for ever.

    >>> design_matrix()[:2, :3].round(3).tolist()
    [[1.0, 0.497, 0.0], [1.0, -0.138, 0.497]]
    """
    stimulus = np.random.RandomState(STIMULUS_SEED).randn(STEPS)
    lagged = [np.concatenate([np.zeros(lag), stimulus[: STEPS - lag]]) for lag in range(LAGS)]
    return np.stack([np.ones(STEPS), *lagged], axis=-1)


def precision_matrix() -> np.ndarray:
    """P, `(10, 10)`, float64."""
    step = np.eye(LAGS) - np.eye(LAGS, k=-1)
    smooth = step @ step + np.diag(np.sqrt(np.arange(LAGS) / LAGS))
    precision = np.zeros((LAGS + 1, LAGS + 1))
    precision[0, 0] = 0.5
    precision[1:, 1:] = smooth.T @ smooth
    return precision
