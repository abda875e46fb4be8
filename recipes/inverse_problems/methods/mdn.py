"""A mixture density network with full precision matrices (eq. 9)."""

from __future__ import annotations

import math

import tensorflow as tf

from inntf.nets import MLP
from recipes.inverse_problems.methods import losses
from recipes.inverse_problems.methods.method import Method, mlp_weights, width_for


class Mdn(Method):
    """y to the weights, means and precisions of a normal mixture: `P = U^T U`, U upper triangular with a positive diagonal.

    log p = logsumexp_k [ log w_k - |U_k (x - m_k)|^2 / 2 + sum log diag U_k - d/2 log 2 pi ]

    Samples are `m_k + U_k^-1 e`: a triangular solve, no matrix is inverted.

    Source: Bishop, "Mixture Density Networks" (1994); eq. 9 of the benchmark.
    """

    title = "MDN"
    likelihood = True
    has_density = True
    jit_compile = True

    def __init__(self, dim_x: int, dim_y: int, weights_wanted: int, components: int = 40, layers: int = 3):
        super().__init__(dim_x, dim_y, weights_wanted)
        self.components = components
        self.above = dim_x * (dim_x - 1) // 2
        outputs = components * (1 + 2 * dim_x + self.above)
        width = width_for(weights_wanted, lambda w: mlp_weights(dim_y, [w] * layers, outputs))
        self.network = MLP([width] * layers, out_channels=outputs, activation="silu", zero_last=False)
        self.network.build((None, dim_y))
        # Means start apart: components that begin alike stay alike.
        self.spread = self.add_weight(shape=(components, dim_x), initializer="random_normal", name="spread")
        self.spread.assign(tf.random.stateless_normal([components, dim_x], [components, dim_x]))

    @property
    def dim_z(self) -> None:
        """None: it is no map of a latent."""

    def objective(self, x: tf.Tensor, y: tf.Tensor, seed: tf.Tensor, progress: tf.Tensor) -> tf.Tensor:
        """Mean negative log-likelihood, nats per entry."""
        y = losses.noisy(y, self.noise_of_y * losses.noise_sd(progress), seed)
        return -tf.reduce_mean(self.log_prob(x, y)) / self.dim_x

    def log_prob(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """By logsumexp."""
        logits, means, factors = self.mixture(y)
        e = tf.linalg.matvec(factors, x[:, None, :] - means)
        log_diagonal = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(factors)), -1)
        each = -0.5 * tf.reduce_sum(tf.square(e), -1) + log_diagonal - 0.5 * self.dim_x * math.log(2 * math.pi)
        return tf.reduce_logsumexp(tf.nn.log_softmax(logits) + each, -1)

    def mixture(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Logits `(n, k)`, means `(n, k, d)`, upper factors of the precisions `(n, k, d, d)`."""
        d, k = self.dim_x, self.components
        raw = tf.reshape(self.network(y), [-1, k, 1 + 2 * d + self.above])
        logits, means, log_diagonal, above = tf.split(raw, [1, d, d, self.above], -1)
        log_diagonal = 8.0 * tf.tanh(log_diagonal / 8.0) + 0.5  # within e^8: no precision overflows
        rows = [
            tf.concat([tf.zeros([*_lead(raw), i]), tf.exp(log_diagonal[..., i : i + 1]), part], -1)
            for i, part in enumerate(tf.split(above, list(range(d - 1, -1, -1)), -1))
        ]
        return logits[..., 0], means + self.spread, tf.stack(rows, -2)

    def sample_posterior(self, y: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """A component, then a normal draw of it."""
        logits, means, factors = self.mixture(y)
        seeds = tf.random.split(seed, 2)
        uniform = tf.random.stateless_uniform(tf.shape(logits), seeds[0], 1e-20, 1.0)
        chosen = tf.argmax(logits - tf.math.log(-tf.math.log(uniform)), -1)
        mean, factor = (tf.gather(a, chosen, batch_dims=1) for a in (means, factors))
        e = tf.random.stateless_normal(tf.shape(mean), seeds[1])
        return mean + tf.linalg.triangular_solve(factor, e[..., None], lower=False)[..., 0]


def _lead(t: tf.Tensor) -> list[tf.Tensor]:
    shape = tf.shape(t)
    return [shape[0], shape[1]]
