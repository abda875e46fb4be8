"""Invertible maps `x -> [y, z]`: INN, MAF and IAF; by likelihood (eq. 4, 6) or by distances (eq. 3)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import keras
import tensorflow as tf

from inntf.models import Flow, autoregressive_flow, real_nvp
from inntf.nets import MLP
from recipes.inverse_problems.methods import losses
from recipes.inverse_problems.methods.method import Method, mlp_weights, width_for

Objective = Literal["likelihood", "distances"]


class JointFlow(Method):
    """`[y, z] = forward(x)`; a posterior sample is `inverse([y, z])` with z from the standard normal.

    By likelihood (eq. 4) y is normal around the observed one, with a learned deviation; by distances (eq. 3) y is
    fitted by least squares, and MMD makes z standard normal and independent of y.

    `padding` standard normal numbers are put beside x (by default as many as y has, so that z has as many as x).  Posteriors of
    several modes or with holes are no smooth image of a normal distribution of their own dimension, but of one of more.

    Source: Ardizzone et al., "Analyzing Inverse Problems with Invertible Neural Networks" (2019), section 3.2, pads too; Huang
    et al., "Augmented Normalizing Flows" (2020), for the bound of the likelihood that the padded one is.
    """

    supervised = True
    by: ClassVar[Objective] = "likelihood"
    first_sd = 0.3
    z_weight = 30.0
    x_weight = 10.0
    flow: Flow

    def __init__(self, dim_x: int, dim_y: int, weights_wanted: int, padding: int | None = None):
        super().__init__(dim_x, dim_y, weights_wanted)
        self.padding = dim_y if padding is None else padding
        self.dim = dim_x + self.padding
        if dim_x < dim_y:
            raise ValueError(f"{self.title}: received dim y = {dim_y} above dim x = {dim_x}, expected at most that")
        if self.by == "likelihood":
            self.log_sd = self.add_weight(shape=(dim_y,), initializer=keras.initializers.Constant(-1.0), name="log_sd")

    @property
    def dim_z(self) -> int:
        """What x and its padding have more than y."""
        return self.dim - self.dim_y

    def padded(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """X beside standard normal numbers."""
        return tf.concat([x, losses.normal([tf.shape(x)[0], self.padding], seed)], -1)

    def objective(self, x: tf.Tensor, y: tf.Tensor, seed: tf.Tensor, progress: tf.Tensor) -> tf.Tensor:
        """Eq. 4; or eq. 3 and the energy score of samples given y."""
        seeds = tf.random.split(seed, 3)
        if self.by == "likelihood":
            return self.likelihood_of(*self.flow.block.forward_and_log_det(self.padded(x, seeds[0])), y, progress)
        loss = tf.zeros([])
        if self.z_weight:
            loss += losses.fit_and_latent(self.encode(self.padded(x, seeds[0])), y, seeds[1], self.z_weight)
        if self.x_weight:
            z = losses.normal([losses.DRAWS * tf.shape(y)[0], self.dim_z], seeds[2], losses.DRAWS)
            back = self.decode(tf.concat([tf.tile(y, [losses.DRAWS, 1]), z], -1))[:, : self.dim_x]
            loss += self.x_weight * losses.score(back, x)
        return loss

    def likelihood_of(self, out: tf.Tensor, log_det: tf.Tensor, y: tf.Tensor, progress: tf.Tensor) -> tf.Tensor:
        """Eq. 4; the deviation of y is learned, down to a smallest one that falls in training."""
        sd = tf.maximum(tf.exp(self.log_sd), losses.noise_sd(progress, self.first_sd))
        return losses.joint_likelihood(out, log_det, y, sd)

    def encode(self, x: tf.Tensor) -> tf.Tensor:
        """`[y, z]` of padded x."""
        return self.flow.block.value(x)

    def decode(self, latent: tf.Tensor) -> tf.Tensor:
        """Padded x of `[y, z]`."""
        return self.flow.block.inverse_and_log_det(latent)[0]

    def sample_posterior(self, y: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """What y and standard normal z decode to."""
        z = tf.random.stateless_normal([tf.shape(y)[0], self.dim_z], seed)
        return self.decode(tf.concat([y, z], -1))[:, : self.dim_x]

    def prepare(self, x: tf.Tensor, y: tf.Tensor) -> None:
        """ActNorms by the first batch."""
        self.flow.block.initialize(self.block_input(x, y)[0])

    def invertible_block(self) -> Any:
        """The flow's block."""
        return self.flow.block

    def block_input(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, None]:
        """Padded x, without a condition."""
        return self.padded(x, tf.constant([0, 0])), None


class Inn(JointFlow):
    """Affine couplings, trained by likelihood (eq. 4)."""

    title = "INN"
    jit_compile = True
    likelihood = True

    def __init__(self, dim_x: int, dim_y: int, weights_wanted: int, depth: int = 24, padding: int | None = None):
        super().__init__(dim_x, dim_y, weights_wanted, padding)
        kept = self.dim - self.dim // 2
        width = width_for(weights_wanted, lambda w: depth * mlp_weights(kept, [w, w], 2 * kept))
        self.flow = real_nvp(event_shape=self.dim, depth=depth, hidden=(width, width), activation="silu", heavy_tails=False)


class InnMmd(Inn):
    """The same couplings, trained by least squares and MMD (eq. 3), and the energy score (a backward MMD for each y apart)."""

    title = "INN (L2 + MMD)"
    jit_compile = False
    likelihood = False
    by = "distances"


class WithDecoder(JointFlow):
    """An autoregressive flow and a feed-forward decoder for the other direction (eq. 6)."""

    likelihood = True
    kind: ClassVar[str]
    cycle_weight = 10.0

    def __init__(self, dim_x: int, dim_y: int, weights_wanted: int, depth: int = 6, padding: int | None = None):
        super().__init__(dim_x, dim_y, weights_wanted, padding)
        half = weights_wanted // 2
        width = width_for(half, lambda w: depth * mlp_weights(self.dim, [w, w], 2 * self.dim))
        self.flow = autoregressive_flow(
            event_shape=self.dim,
            depth=depth,
            hidden=(width, width),
            kind=self.kind,
            activation="silu",
            permutation="shuffle",
            heavy_tails=False,
        )
        width = width_for(half, lambda w: mlp_weights(self.dim, [w, w, w], dim_x))
        self.decoder = MLP([width] * 3, out_channels=dim_x, activation="silu", zero_last=False)
        self.decoder.build((None, self.dim))

    def objective(self, x: tf.Tensor, y: tf.Tensor, seed: tf.Tensor, progress: tf.Tensor) -> tf.Tensor:
        """Eq. 6."""
        out, log_det = self.flow.block.forward_and_log_det(self.padded(x, seed))
        cycle = tf.reduce_mean(tf.square(x - self.decoder(tf.stop_gradient(out))))
        return self.likelihood_of(out, log_det, y, progress) + self.cycle_weight * cycle

    def sample_posterior(self, y: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The decoder's, not the flow's own inverse: as in the paper, one pass."""
        z = tf.random.stateless_normal([tf.shape(y)[0], self.dim_z], seed)
        return self.decoder(tf.concat([y, z], -1))


class MafDecoder(WithDecoder):
    """A masked autoregressive flow."""

    title = "MAF + decoder"
    kind = "maf"


class IafDecoder(WithDecoder):
    """An inverse autoregressive flow: its networks read [y, z], so the map of x goes entry by entry."""

    title = "IAF + decoder"
    kind = "iaf"
