"""i-ResNets: by likelihood (eq. 5), as decoders by the energy score, and by distances as in the paper (eq. 3)."""

from __future__ import annotations

import tensorflow as tf

from inntf.models import Flow, residual_flow
from inntf.nets import MLP
from inntf.training import certify_spectral_norms, update_spectral_norms
from recipes.inverse_problems.methods.conditional import ConditionalFlow
from recipes.inverse_problems.methods.joint import JointFlow
from recipes.inverse_problems.methods.method import Method, mlp_weights, width_for


class SpectrallyNormalized(Method):
    """Keeps the spectral norms of its flow: a power iteration after each step, certified at the end."""

    flow: Flow

    def after_step(self) -> None:
        """One power iteration more."""
        update_spectral_norms(self.flow)

    def finish(self) -> None:
        """From here on the norms hold exactly."""
        certify_spectral_norms(self.flow, rescale=True)


class IResNet(SpectrallyNormalized, ConditionalFlow):
    """Residual blocks of x given y, by likelihood with the exact log-determinant (eq. 5).

    A block is a contraction of all that it is given, so what y does to x would be weak: a network without that limit makes
    features of y first.

    Args:
        dim_x, dim_y, weights_wanted: as in `Method`.
        depth: number of blocks.
        features: of y.
        log_det: `"exact"`, or `"roulette"`, which is unbiased at a cost that does not grow with dim x.
    """

    title = "i-ResNet"

    def __init__(
        self, dim_x: int, dim_y: int, weights_wanted: int, depth: int = 12, features: int = 32, log_det: str = "exact"
    ):
        super().__init__(dim_x, dim_y, weights_wanted)
        widths = [width_for(weights_wanted // 10, lambda w: mlp_weights(dim_y, [w, w], features))] * 2
        left = weights_wanted - mlp_weights(dim_y, widths, features)
        width = width_for(left, lambda w: depth * mlp_weights(dim_x + features, [w, w], dim_x))
        self.flow = residual_flow(
            event_shape=dim_x,
            depth=depth,
            hidden=(width, width),
            coefficient=0.97,
            log_det=log_det,
            max_iterations=2,
            condition_shape=dim_y,
            condition_network=MLP(widths, out_channels=features, activation="silu", zero_last=False),
        )


class IResNetEnergy(SpectrallyNormalized, JointFlow):
    """Residual blocks of Lipschitz constant below 1, whose forward direction is the decoder, trained by the energy score.

    Samples are one pass, as fast as an INN's; the encoder is the fixed-point inverse.  It is left out of the training: where
    the decoder's samples are right, so is what x is encoded to.
    """

    title = "i-ResNet (energy score)"
    by = "distances"
    z_weight = 0.0

    def __init__(self, dim_x: int, dim_y: int, weights_wanted: int, depth: int = 16, padding: int | None = None):
        super().__init__(dim_x, dim_y, weights_wanted, padding)
        width = width_for(weights_wanted, lambda w: depth * mlp_weights(self.dim, [w, w], self.dim))
        self.flow = residual_flow(
            event_shape=self.dim, depth=depth, hidden=(width, width), coefficient=0.97, log_det="exact", max_iterations=2
        )

    def encode(self, x: tf.Tensor) -> tf.Tensor:
        """The inverse, an iteration."""
        return self.flow.block.inverse_value(x)

    def decode(self, latent: tf.Tensor) -> tf.Tensor:
        """One pass."""
        return self.flow.block.value(latent)

    def block_input(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, None]:
        """Observations beside standard normal z."""
        return tf.concat([y, tf.random.stateless_normal([tf.shape(y)[0], self.dim_z], [0, 1])], -1), None


class IResNetMmd(IResNetEnergy):
    """The same residual blocks as in the paper: `[y, z]` is their forward direction, by least squares and MMD alone (eq. 3)."""

    title = "i-ResNet (L2 + MMD)"
    z_weight = 30.0
    x_weight = 0.0

    def encode(self, x: tf.Tensor) -> tf.Tensor:
        """One pass."""
        return self.flow.block.value(x)

    def decode(self, latent: tf.Tensor) -> tf.Tensor:
        """The inverse, an iteration."""
        return self.flow.block.inverse_value(latent)

    def block_input(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, None]:
        """Padded x."""
        return self.padded(x, tf.constant([0, 0])), None
