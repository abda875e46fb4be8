"""What a flow is told of its condition: fixed features, and learned ones; of independent draws, in any order, their means."""

from __future__ import annotations

import keras
import tensorflow as tf

from inntf.nets import MLP

_JITTER = 1e-8


class Embedding(keras.layers.Layer):
    """`c = [f(y), net(f(y))]`; where y consists of draws, `[m, mean_i net(y_i), net(m)]` with their moments m.

    The moments are those that a normal distribution has: mean, and the Cholesky factor of the covariance (the logarithm of
    its diagonal, the slopes below it).  A mean over draws does not depend on their order, so nothing is lost by it.

    Args:
        dim: entries of y.
        draws: independent draws in y, given what is to be found; 1 for none.
        hidden: widths of the networks.
        learned: entries of each network's output.
        squash: also `erf(y / sqrt 2)` as a feature: the uniform variable of a parameter whose transform is standard normal.

    Attributes:
        fixed: number of features that need no training.
        width: entries of c.
    """

    def __init__(self, dim: int, draws: int = 1, hidden: tuple[int, ...] = (64, 64), learned: int = 32, squash: bool = False):
        super().__init__()
        self.dim, self.draws, self.squash = dim, draws, squash
        each = dim // draws
        self.fixed = dim * (2 if squash else 1) if draws == 1 else each + each * (each + 1) // 2
        make = {"out_channels": learned, "activation": "silu", "zero_last": False}
        self.network = MLP(hidden, **make)
        self.network.build((None, self.fixed))
        self.of_draws = MLP(hidden, **make) if draws > 1 else None
        if draws > 1:
            self.of_draws.build((None, each))
        self.shift = self.add_weight(shape=(self.fixed,), initializer="zeros", trainable=False, name="shift")
        self.factor = self.add_weight(shape=(self.fixed,), initializer="ones", trainable=False, name="factor")
        self.width = self.fixed + learned * (2 if draws > 1 else 1)
        self.built = True

    def adapt(self, y: tf.Tensor) -> None:
        """Standardize the features by these conditions."""
        raw = self._raw(y)
        deviation = tf.math.reduce_std(raw, 0)
        self.shift.assign(tf.reduce_mean(raw, 0))
        self.factor.assign(1.0 / tf.where(deviation > 0, deviation, 1.0))

    def features(self, y: tf.Tensor) -> tf.Tensor:
        """Those that need no training, `(n, fixed)`."""
        return (self._raw(y) - self.shift) * self.factor

    def call(self, y: tf.Tensor) -> tf.Tensor:
        """c, `(n, width)`."""
        f = self.features(y)
        parts = [f, self.network(f)]
        if self.draws > 1:
            each = self.dim // self.draws
            out = tf.reshape(self.of_draws(tf.reshape(y, [-1, each])), [-1, self.draws, self.network.out_channels])
            parts.append(tf.reduce_mean(out, axis=1))
        return tf.concat(parts, -1)

    def _raw(self, y: tf.Tensor) -> tf.Tensor:
        if self.draws == 1:
            return tf.concat([y, tf.math.erf(y / 2.0**0.5)], -1) if self.squash else y
        each = self.dim // self.draws
        parts = tf.reshape(y, [-1, self.draws, each])
        mean = tf.reduce_mean(parts, axis=1)
        centred = parts - mean[:, None]
        covariance = tf.matmul(centred, centred, transpose_a=True) / self.draws
        factor = tf.linalg.cholesky(covariance + _JITTER * (1.0 + _scale(covariance)) * tf.eye(each))
        diagonal = tf.linalg.diag_part(factor)
        below = [tf.asinh(factor[:, i, j] / diagonal[:, i]) for i in range(each) for j in range(i)]
        return tf.concat([mean, tf.math.log(diagonal), *[b[:, None] for b in below]], -1)


def _scale(covariance: tf.Tensor) -> tf.Tensor:
    return tf.linalg.trace(covariance)[:, None, None]
