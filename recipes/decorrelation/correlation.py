"""The correlation of a batch, the loss that is its off-diagonal part, and how small that can be at all."""

from __future__ import annotations

import math

import tensorflow as tf

_FLOOR = 1e-8  # added to standard deviations, as in the paper


def correlation_matrix(z: tf.Tensor) -> tf.Tensor:
    """Correlation of the entries over a batch, `C = Z^T Z / (n - 1)` with `Z` centred and divided by `deviation + 1e-8`.

    Args:
        z: `(n, ...)`, at least two samples.

    Returns:
        `(d, d)`, `d` the number of entries of a sample.

    Source: "On the Invertibility of Invertible Neural Networks", equation 4 and appendix G.

    >>> correlation_matrix(tf.constant([[0.0, 0.0], [1.0, -2.0]], tf.float64)).numpy().round(4).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    z = tf.reshape(z, [tf.shape(z)[0], math.prod(z.shape[1:])])
    fewer = tf.cast(tf.shape(z)[0] - 1, z.dtype)
    z -= tf.reduce_mean(z, 0)
    z /= tf.sqrt(tf.reduce_sum(tf.square(z), 0) / fewer) + _FLOOR
    return tf.matmul(z, z, transpose_a=True) / fewer


def off_diagonal_norm(matrix: tf.Tensor) -> tf.Tensor:
    """Frobenius norm of what is off the diagonal, a scalar.

    >>> float(off_diagonal_norm(tf.constant([[5.0, 3.0], [4.0, 5.0]])))
    5.0
    """
    return tf.norm(tf.linalg.set_diag(matrix, tf.zeros_like(tf.linalg.diag_part(matrix))))


def decorrelation_loss(z: tf.Tensor) -> tf.Tensor:
    """`|C - diag(C)|_F` of the correlation `C` of a batch `(n, ...)`, a scalar.

    Source: "On the Invertibility of Invertible Neural Networks", equation 5.
    """
    return off_diagonal_norm(correlation_matrix(z))


def rank_bound(count: int, dims: int) -> float:
    """No batch of `count` samples has a smaller loss: `C` has rank `count - 1` at most and ones on its diagonal.

    >>> round(rank_bound(64, 3072)), rank_bound(256, 64)
    (383, 0.0)
    """
    return math.sqrt(max(dims**2 / (count - 1) - dims, 0.0))


def independent_loss(count: int, dims: int) -> float:
    """Loss (root mean square) of `count` samples of `dims` independent normal entries: what decorrelation leaves.

    >>> round(independent_loss(1000, 64), 2)
    2.01
    """
    return math.sqrt(dims * (dims - 1) / (count - 1))
