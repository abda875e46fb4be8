"""Conditional flows: x to z, given y (eq. 5)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from inntf.models import Flow, real_nvp
from recipes.inverse_problems.methods import losses
from recipes.inverse_problems.methods.method import Method, mlp_weights, width_for


class ConditionalFlow(Method):
    """`-log p(x | y)` of a flow that is given y in each of its networks: `|z|^2 / 2 - log|det J|` (eq. 5)."""

    likelihood = True
    has_density = True
    flow: Flow

    def objective(self, x: tf.Tensor, y: tf.Tensor, seed: tf.Tensor, progress: tf.Tensor) -> tf.Tensor:
        """Mean negative log-likelihood, nats per entry."""
        y = self.noisy(y, seed, progress)
        return -tf.reduce_mean(self.log_prob(x, y)) / self.dim_x

    def noisy(self, y: tf.Tensor, seed: tf.Tensor, progress: tf.Tensor) -> tf.Tensor:
        """Observations with the noise of that share of the training."""
        return losses.noisy(y, self.noise_of_y * losses.noise_sd(progress), seed)

    def sample_posterior(self, y: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The inverse of standard normal latents."""
        z = tf.random.stateless_normal([tf.shape(y)[0], self.dim_x], seed)
        return self.flow.block.inverse_value(z, self.embedded(y))

    def log_prob(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """The flow's."""
        return self.flow.log_prob(x, condition=y)

    def prepare(self, x: tf.Tensor, y: tf.Tensor) -> None:
        """ActNorms by the first batch."""
        self.flow.block.initialize(x, condition=self.embedded(y))

    def embedded(self, y: tf.Tensor) -> tf.Tensor:
        """What the blocks are given of y, in standardized coordinates: y itself, or what the flow's network makes of it."""
        network = self.flow.condition_network
        return y if network is None else network(y)

    def invertible_block(self) -> Any:
        """The flow's block."""
        return self.flow.block

    def block_input(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The parameters, and what the blocks are given of y."""
        return x, self.embedded(y)


class ConditionalInn(ConditionalFlow):
    """The cINN: affine couplings, y concatenated to the input of each network."""

    title = "cINN"

    def __init__(self, dim_x: int, dim_y: int, weights_wanted: int, depth: int = 24):
        super().__init__(dim_x, dim_y, weights_wanted)
        kept = dim_x - dim_x // 2

        def weights(width: int) -> int:
            return depth * mlp_weights(kept + dim_y, [width, width], 2 * kept)

        width = width_for(weights_wanted, weights)
        self.flow = real_nvp(
            event_shape=dim_x,
            depth=depth,
            hidden=(width, width),
            activation="silu",
            heavy_tails=False,
            condition_shape=dim_y,
            repeat=True,
        )
