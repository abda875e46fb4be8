"""Autoregressive flows of x given y, and a feed-forward decoder for the other direction (eq. 6)."""

from __future__ import annotations

from typing import ClassVar

import tensorflow as tf

from inntf.models import autoregressive_flow, cycle_loss
from inntf.nets import MLP
from recipes.inverse_problems.methods import losses
from recipes.inverse_problems.methods.conditional import ConditionalFlow
from recipes.inverse_problems.methods.method import mlp_weights, width_for


class FlowWithDecoder(ConditionalFlow):
    """`z = flow(x; y)` by likelihood, and a network `x hat = decoder(z, y)` by the cycle loss; samples are the decoder's.

    One term more than in eq. 6: the energy score of samples given y, as the autoencoders have it.  The cycle loss alone teaches
    the decoder at the latents of data only, each by itself.

    The paper lists four entries of z for both of its models, which a map of x to [y, z] cannot have: y is the condition here.
    `joint.MafDecoder` and `joint.IafDecoder` are the other reading.
    """

    kind: ClassVar[str]
    jit_compile = True
    cycle_weight = 10.0
    x_weight = 10.0

    def __init__(self, dim_x: int, dim_y: int, weights_wanted: int, depth: int = 8, layers: int = 4):
        super().__init__(dim_x, dim_y, weights_wanted)
        share = weights_wanted // 2
        width = width_for(share, lambda w: depth * mlp_weights(dim_x + dim_y, [w, w], 2 * dim_x))
        self.flow = autoregressive_flow(
            event_shape=dim_x,
            depth=depth,
            hidden=(width, width),
            kind=self.kind,
            activation="silu",
            permutation="shuffle",
            heavy_tails=False,
            condition_shape=dim_y,
        )
        width = width_for(weights_wanted - share, lambda w: mlp_weights(dim_x + dim_y, [w] * layers, dim_x))
        self.decoder = MLP([width] * layers, out_channels=dim_x, activation="silu", zero_last=False)
        self.decoder.build((None, dim_x + dim_y))

    def objective(self, x: tf.Tensor, y: tf.Tensor, seed: tf.Tensor, progress: tf.Tensor) -> tf.Tensor:
        """Negative log-likelihood and cycle loss, nats per entry."""
        seeds = tf.random.split(seed, 2)
        y = self.noisy(y, seeds[0], progress)
        z, log_det = self.flow.block.forward_and_log_det(x, condition=y)
        nats = -tf.reduce_mean(self.flow.base.log_prob(z) + log_det) / self.dim_x
        loss = nats + self.cycle_weight * cycle_loss(x, self.decode(tf.stop_gradient(z), y)) / self.dim_x
        back = self.sample_posterior(tf.tile(y, [losses.DRAWS, 1]), seeds[1], losses.DRAWS)
        return loss + self.x_weight * losses.score(back, x)

    def decode(self, z: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """The feed-forward direction."""
        return self.decoder(tf.concat([z, y], -1))

    def sample_posterior(self, y: tf.Tensor, seed: tf.Tensor, copies: int = 1) -> tf.Tensor:
        """The decoder's, not the flow's own inverse: as in the paper, one pass."""
        return self.decode(losses.normal([tf.shape(y)[0], self.dim_x], seed, copies), y)


class ConditionalMaf(FlowWithDecoder):
    """A masked autoregressive flow: its networks read x."""

    title = "MAF + decoder"
    kind = "maf"


class ConditionalIaf(FlowWithDecoder):
    """An inverse autoregressive flow: its networks read z, so the map of x goes entry by entry."""

    title = "IAF + decoder"
    kind = "iaf"
