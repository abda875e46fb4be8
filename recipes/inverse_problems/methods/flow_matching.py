"""Conditional flow matching: a free-form velocity on straight paths, run by our solver."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.blocks import ContinuousBlock
from inntf.core.whole_batch import draw_rows
from inntf.models import Flow
from inntf.nets import MLP
from inntf.numerics import solve_ode
from recipes.inverse_problems.methods import losses
from recipes.inverse_problems.methods.embedding import Embedding
from recipes.inverse_problems.methods.method import Method, mlp_weights, width_for
from recipes.inverse_problems.methods.regression import LinearRegression

_FREQUENCIES = 4
_REPEATS = 8  # times and noises of each pair, where the loss is only looked at


class Velocity(keras.layers.Layer):
    """`v(r, t, c) = r (2t - 1) / (t^2 + (1-t)^2) + net(r, t, c)`, of `(batch, dim + 1 + width)`.

    The first term is the whole velocity where r is standard normal at both ends; the network is zero at the start.

    Args:
        dim: entries of r.
        hidden: widths of the network.
    """

    def __init__(self, dim: int, hidden: tuple[int, ...], **kwargs: Any):
        super().__init__(**kwargs)
        self.dim = dim
        self.network = MLP(hidden, out_channels=dim, activation="silu")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """The network's weights."""
        self.network.build((None, input_shape[-1] + 2 * _FREQUENCIES))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """v, `(batch, dim)`."""
        r, t = inputs[:, : self.dim], inputs[:, self.dim : self.dim + 1]
        angles = t * tf.constant([[np.pi * (i + 1) for i in range(_FREQUENCIES)]], t.dtype)
        straight = r * (2 * t - 1) / (tf.square(t) + tf.square(1 - t))
        return straight + self.network(tf.concat([inputs, tf.sin(angles), tf.cos(angles)], -1))


class FlowMatching(Method):
    """`|v(r_t, t, y) - (z - r)|^2` with `r_t = (1 - t) r + t z`, z standard normal, t uniform; r as in the spline MAF.

    The trained velocity is the `dynamics` of a `ContinuousBlock`, whose solver gives samples and densities.

    Args:
        dim_x, dim_y, weights_wanted: as in `Method`.
        layers: of the velocity's network.
        draws: independent draws in y given x.
        tolerance: of the solver, relative and absolute.

    Source: Lipman et al., "Flow Matching for Generative Modeling" (2023); Wildberger et al., "Flow Matching for Scalable
    Simulation-Based Inference" (2023).
    """

    title = "flow matching"
    has_density = True

    def __init__(self, dim_x: int, dim_y: int, weights_wanted: int, layers: int = 4, draws: int = 1, tolerance: float = 1e-4):
        super().__init__(dim_x, dim_y, weights_wanted)
        inputs = dim_x + 1 + 2 * _FREQUENCIES + dim_y + 32
        width = width_for(weights_wanted, lambda w: mlp_weights(inputs, [w] * layers, dim_x) + mlp_weights(dim_y, [64, 64], 32))
        self.embedding = Embedding(dim_y, draws, (64, 64))
        self.regression = LinearRegression(dim_x, self.embedding.fixed)
        self.velocity = Velocity(dim_x, (width,) * layers)
        self.tolerance = tolerance
        block = ContinuousBlock(dynamics=self.velocity, trace="exact", rtol=tolerance, atol=tolerance)
        self.flow = Flow(block, event_shape=dim_x, condition_shape=self.embedding.width)

    def prepare(self, x: tf.Tensor, y: tf.Tensor) -> None:
        """The regression, by what it is given."""
        self.embedding.adapt(y)
        self.regression.fit(x, self.embedding.features(y))

    def objective(self, x: tf.Tensor, y: tf.Tensor, seed: tf.Tensor, progress: tf.Tensor) -> tf.Tensor:
        """Mean squared error of the velocity per entry; averaged over several draws at the end of training (progress 1)."""
        seeds = tf.random.split(seed, 3)
        y = losses.noisy(y, self.noise_of_y * losses.noise_sd(progress), seeds[2])
        r, c = self.regression.residual(x, self.embedding.features(y)), self.embedding(y)
        if tf.get_static_value(progress) == 1.0:
            r, c = tf.repeat(r, _REPEATS, 0), tf.repeat(c, _REPEATS, 0)
        z = losses.normal(tf.shape(r), seeds[0])
        t = draw_rows(lambda whole: tf.random.stateless_uniform(whole, seeds[1]), [tf.shape(r)[0], 1])
        v = self.velocity(tf.concat([(1 - t) * r + t * z, t, c], -1))
        return tf.reduce_mean(tf.square(v - (z - r)))

    def sample_posterior(self, y: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The equation from noise to data, without the trace that a density needs."""
        z, c = tf.random.stateless_normal([tf.shape(y)[0], self.dim_x], seed), self.embedding(y)

        def backwards(s: tf.Tensor, r: tf.Tensor) -> tf.Tensor:
            return -self.velocity(tf.concat([r, tf.fill([tf.shape(r)[0], 1], 1.0 - s), c], -1))

        r = solve_ode(backwards, z, rtol=self.tolerance, atol=self.tolerance).state
        return self.regression.restore(r, self.embedding.features(y))

    def log_prob(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """By the trace of the velocity's Jacobian along the path."""
        f = self.embedding.features(y)
        return self.flow.log_prob(self.regression.residual(x, f), condition=self.embedding(y)) + self.regression.log_det()
