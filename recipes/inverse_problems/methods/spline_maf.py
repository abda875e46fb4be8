"""The conditional spline MAF, behind a linear regression: today's yardstick among flows."""

from __future__ import annotations

import tensorflow as tf

from inntf.blocks import MaskedAutoregressive, Permutation
from inntf.compose import Chain
from inntf.core import Block
from inntf.models import Flow
from inntf.nets import MaskedMLP
from inntf.numerics import SplineTransform
from recipes.inverse_problems.methods import losses
from recipes.inverse_problems.methods.embedding import Embedding
from recipes.inverse_problems.methods.method import Method, mlp_weights, width_for
from recipes.inverse_problems.methods.regression import LinearRegression


class ConditionalSplineMaf(Method):
    """Masked autoregressive blocks, affine and spline in turn, after a linear regression: today's yardstick.

    `r = L^-1 (x - W f - b)` by least squares (`LinearRegression`), then `z = flow(r; c)` with an embedding c of y, whose
    features f need no training.  The flow starts as the identity: what is linear and normal is right before the first step.

    Args:
        dim_x, dim_y, weights_wanted: as in `Method`.
        depth: pairs of blocks; the order of entries is reversed after each.
        bins: of the splines, on [-4, 4].
        draws: independent draws in y given x; the model does not depend on their order then.
        squash: whether the condition is a parameter (`Embedding`).

    Source: Papamakarios et al., "Masked Autoregressive Flow for Density Estimation" (2017); Durkan et al., "Neural Spline
    Flows" (2019).
    """

    title = "spline MAF"
    likelihood = True
    has_density = True

    def __init__(
        self,
        dim_x: int,
        dim_y: int,
        weights_wanted: int,
        depth: int = 3,
        bins: int = 8,
        draws: int = 1,
        squash: bool = False,
    ):
        super().__init__(dim_x, dim_y, weights_wanted)
        transformers = ("affine", SplineTransform(bins, 4.0))
        fixed = 2 * dim_y if squash else dim_y

        def weights(width: int) -> int:
            nets = [mlp_weights(dim_x + fixed + 32, [width, width], n * dim_x) for n in (2, 3 * bins - 1)]
            return depth * sum(nets) + mlp_weights(fixed, [width, width], 32)

        width = width_for(weights_wanted, weights)
        self.embedding = Embedding(dim_y, draws, (width, width), squash=squash)
        self.regression = LinearRegression(dim_x, self.embedding.fixed)
        blocks = []
        for i in range(depth):
            blocks += [Permutation.reverse()] if i else []
            for transformer in transformers:
                net = MaskedMLP(hidden=(width, width), activation="silu", direct=transformer == "affine")
                blocks.append(MaskedAutoregressive(conditioner=net, transformer=transformer))
        self.flow = Flow(Chain(blocks), event_shape=dim_x, condition_shape=self.embedding.width)

    def prepare(self, x: tf.Tensor, y: tf.Tensor) -> None:
        """The regression, by what it is given."""
        self.embedding.adapt(y)
        self.regression.fit(x, self.embedding.features(y))

    def objective(self, x: tf.Tensor, y: tf.Tensor, seed: tf.Tensor, progress: tf.Tensor) -> tf.Tensor:
        """Mean negative log-likelihood, nats per entry."""
        y = losses.noisy(y, self.noise_of_y * losses.noise_sd(progress), seed)
        return -tf.reduce_mean(self.log_prob(x, y)) / self.dim_x

    def sample_posterior(self, y: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The inverse of standard normal latents, entry by entry."""
        z = tf.random.stateless_normal([tf.shape(y)[0], self.dim_x], seed)
        r = self.flow.block.inverse_and_log_det(z, condition=self.embedding(y))[0]
        return self.regression.restore(r, self.embedding.features(y))

    def log_prob(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """The flow's, and the regression's slope."""
        r = self.regression.residual(x, self.embedding.features(y))
        return self.flow.log_prob(r, condition=self.embedding(y)) + self.regression.log_det()

    def invertible_block(self) -> Block:
        """The flow's block, of residuals given the embedding."""
        return self.flow.block

    def block_input(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Residuals and embeddings."""
        return self.regression.residual(x, self.embedding.features(y)), self.embedding(y)
