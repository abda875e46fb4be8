"""Singular values and log-determinants of explicit square matrices, in float64, non-finite ones reported."""

from __future__ import annotations

import tensorflow as tf


def log_abs_det(matrix: tf.Tensor) -> tf.Tensor:
    """`log|det A|` by QR, as `sum log|diag R|`; also works under XLA, where LU does not.

    Args:
        matrix: `(..., n, n)`, float.

    Returns:
        `(...)` in float64, natural log: minus infinity for a singular matrix, NaN for one with non-finite entries.

    Source: G. Golub, C. Van Loan, "Matrix Computations", section 5.2.

    Example:
        >>> round(float(log_abs_det(tf.constant([[2.0, 1.0], [0.0, -3.0]]))), 6)
        1.791759
    """
    matrix, finite = _masked(matrix)
    triangle = tf.linalg.qr(matrix, full_matrices=False).r
    value = tf.reduce_sum(tf.math.log(tf.abs(tf.linalg.diag_part(triangle))), -1)
    return tf.where(finite, value, tf.constant(float("nan"), tf.float64))


def all_singular_values(matrix: tf.Tensor) -> tf.Tensor:
    """All singular values `s_1 >= ... >= s_k` of each matrix `A = U diag(s) V^T` of a batch.

    Args:
        matrix: `(..., m, n)`, float.

    Returns:
        `(..., min(m, n))` in float64; NaN for matrices with non-finite entries (an SVD would hang or invent).

    Source: G. Golub, C. Van Loan, "Matrix Computations", section 8.6.

    Example:
        >>> all_singular_values(tf.constant([[0.0, 2.0], [3.0, 0.0]])).numpy().tolist()
        [3.0, 2.0]
    """
    return singular_triplets(matrix)[0]


def singular_triplets(matrix: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Singular values, left and right singular vectors (in the columns) of a batch of matrices.

    Args:
        matrix: `(..., m, n)`, float.

    Returns:
        values `(..., r)` descending, left `(..., m, r)`, right `(..., n, r)` with `r = min(m, n)`, in float64;
        the values of a matrix with non-finite entries are NaN.

    Source: G. Golub, C. Van Loan, "Matrix Computations", section 8.6.

    Example:
        >>> values, left, right = singular_triplets(tf.eye(3))
        >>> left.shape
        TensorShape([3, 3])
    """
    matrix, finite = _masked(matrix)
    values, left, right = tf.linalg.svd(matrix)
    return tf.where(finite[..., None], values, tf.constant(float("nan"), tf.float64)), left, right


def _masked(matrix: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    matrix = tf.cast(matrix, tf.float64)
    finite = tf.reduce_all(tf.math.is_finite(matrix), [-2, -1])
    return tf.where(finite[..., None, None], matrix, tf.zeros_like(matrix)), finite
