"""The conditional variational autoencoder (eq. 8)."""

from __future__ import annotations

import math

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from inntf.nets import MLP
from recipes.inverse_problems.methods import losses
from recipes.inverse_problems.methods.method import Method, mlp_weights, width_for


class ConditionalVae(Method):
    """Encoder `q(z | x, y) = N(mean, L L^T)`, decoder `x hat(z, y)`, `|x - x hat|^2 / (2 s^2) + KL(q | N(0, I))`.

    L is a lower triangle: with a diagonal one the decoder's Jacobian would have to have orthogonal columns.

    Eq. 8's weight alpha is `2 s^2` here and learned: `s` is the deviation of x around the decoder, whose best value is the
    reconstruction error, so that the loss is a bound of the likelihood at every step (with the constant `log s`), and neither
    term has to be weighed by hand.  It stays below a tenth of a standard deviation of x: with more, noise could stand for an
    entry of x, and the latent would not be used for it.  Samples are the decoder's, as in the paper, without that noise.

    One term more than in eq. 8: the energy score of samples given y, as the autoencoders have it.  The bound alone leaves holes
    between modes, where no q is and the decoder is asked all the same.

    Source: Sohn et al., "Learning Structured Output Representation" (2015); Rybkin et al., "Simple and Effective VAE
    Training with Calibrated Decoders" (2021), section 3, for the learned deviation.
    """

    title = "cVAE"
    lowest_sd, highest_sd = 0.01, 0.1
    x_weight = 20.0

    def __init__(self, dim_x: int, dim_y: int, weights_wanted: int, layers: int = 3):
        super().__init__(dim_x, dim_y, weights_wanted)
        self.triangle = dim_x * (dim_x + 1) // 2

        def weights(w: int) -> int:
            return mlp_weights(dim_x + dim_y, [w] * layers, dim_x + self.triangle) + mlp_weights(
                dim_x + dim_y, [w] * layers, dim_x
            )

        width = width_for(weights_wanted, weights)
        self.encoder = MLP([width] * layers, out_channels=dim_x + self.triangle, activation="silu", zero_last=False)
        self.decoder = MLP([width] * layers, out_channels=dim_x, activation="silu", zero_last=False)
        for net in (self.encoder, self.decoder):
            net.build((None, dim_x + dim_y))
        self.share = self.add_weight(shape=(dim_x,), initializer=keras.initializers.Constant(2.0), name="share_of_log_sd")

    def objective(self, x: tf.Tensor, y: tf.Tensor, seed: tf.Tensor, progress: tf.Tensor) -> tf.Tensor:
        """The negative evidence bound, nats per entry, and the term more."""
        seeds = tf.random.split(seed, 3)
        y = losses.noisy(y, self.noise_of_y * losses.noise_sd(progress), seeds[0])
        mean, raw = tf.split(self.encoder(tf.concat([x, y], -1)), [self.dim_x, self.triangle], -1)
        triangle = tfp.math.fill_triangular(raw)
        log_diagonal = tf.clip_by_value(tf.linalg.diag_part(triangle), -7.0, 1.5)
        triangle = tf.linalg.set_diag(triangle, tf.exp(log_diagonal))
        z = mean + tf.linalg.matvec(triangle, losses.normal(tf.shape(mean), seeds[1]))
        log_sd = self._log_sd()
        fit = 0.5 * tf.square((x - self.decoder(tf.concat([z, y], -1))) * tf.exp(-log_sd)) + log_sd
        kl = 0.5 * (tf.square(mean) + tf.reduce_sum(tf.square(triangle), -1) - 1.0) - log_diagonal
        bound = tf.reduce_mean(tf.reduce_sum(fit + kl, -1)) / self.dim_x + 0.5 * math.log(2 * math.pi)
        back = self.sample_posterior(tf.tile(y, [losses.DRAWS, 1]), seeds[2], losses.DRAWS)
        return bound + self.x_weight * losses.score(back, x)

    def sample_posterior(self, y: tf.Tensor, seed: tf.Tensor, copies: int = 1) -> tf.Tensor:
        """The decoder of y and standard normal z."""
        z = losses.normal([tf.shape(y)[0], self.dim_x], seed, copies)
        return self.decoder(tf.concat([z, y], -1))

    def _log_sd(self) -> tf.Tensor:
        low, high = math.log(self.lowest_sd), math.log(self.highest_sd)
        return low + (high - low) * tf.sigmoid(tf.convert_to_tensor(self.share))
