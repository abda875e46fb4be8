"""Linear regression with normal residuals: what a network need not learn."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

_RIDGE = 1e-6  # of the features' mean square


class LinearRegression(keras.layers.Layer):
    """`r = L^-1 (x - W f - b)` for features f of the condition, fitted by least squares; L is the residuals' Cholesky factor.

    For jointly normal x and f it is the whole posterior, r is standard normal then; else it is where a flow begins.  Not
    trained further.

    Args:
        dim: entries of x.
        features: entries of f.

    Example:
        >>> regression = LinearRegression(1, 1)
        >>> f = tf.random.stateless_normal([500, 1], [0, 1]); noise = tf.random.stateless_normal([500, 1], [0, 2])
        >>> regression.fit(3.0 * f + 0.5 * noise, f)
        >>> bool(abs(regression.kernel[0, 0] - 3.0) < 0.1)
        True
    """

    def __init__(self, dim: int, features: int):
        super().__init__()
        frozen = {"trainable": False}
        self.kernel = self.add_weight(shape=(features, dim), initializer="zeros", name="kernel", **frozen)
        self.bias = self.add_weight(shape=(dim,), initializer="zeros", name="bias", **frozen)
        self.factor = self.add_weight(shape=(dim, dim), initializer="identity", name="factor", **frozen)
        self.unfactor = self.add_weight(shape=(dim, dim), initializer="identity", name="unfactor", **frozen)
        self.built = True

    def fit(self, x: tf.Tensor, f: tf.Tensor) -> None:
        """Least squares, in float64.

        Args:
            x: `(n, dim)`.
            f: `(n, features)`.
        """
        x, f = np.asarray(x, np.float64), np.asarray(f, np.float64)
        x_mean, f_mean = x.mean(0), f.mean(0)
        xc, fc = x - x_mean, f - f_mean
        square = fc.T @ fc / len(f)
        ridge = _RIDGE * (np.trace(square) / len(square) + 1e-12) * np.eye(len(square))
        kernel = np.linalg.solve(square + ridge, fc.T @ xc / len(f))
        rest = xc - fc @ kernel
        variance = rest.T @ rest / max(1, len(x) - kernel.shape[0] - 1)
        factor = np.linalg.cholesky(variance + 1e-10 * np.eye(len(variance)))
        self.kernel.assign(kernel)
        self.bias.assign(x_mean - f_mean @ kernel)
        self.factor.assign(factor)
        self.unfactor.assign(np.linalg.inv(factor))

    def residual(self, x: tf.Tensor, f: tf.Tensor) -> tf.Tensor:
        """r, `(n, dim)`."""
        return tf.matmul(x - self._mean(f), self.unfactor, transpose_b=True)

    def restore(self, r: tf.Tensor, f: tf.Tensor) -> tf.Tensor:
        """x, `(n, dim)`."""
        return self._mean(f) + tf.matmul(r, self.factor, transpose_b=True)

    def log_det(self) -> tf.Tensor:
        """`log|det dr/dx|`, a scalar."""
        return tf.reduce_sum(tf.math.log(tf.linalg.diag_part(self.unfactor)))

    def _mean(self, f: tf.Tensor) -> tf.Tensor:
        return tf.matmul(f, self.kernel) + self.bias
