"""Orthogonal matrices from unconstrained numbers, and a scale that makes their norm at most one in spite of rounding."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

_ROUNDED = {tf.bfloat16: 2.0**-8, tf.float16: 2.0**-11, tf.float32: 2.0**-24, tf.float64: 2.0**-52}


def cayley(raw: tf.Tensor) -> tf.Tensor:
    r"""The Cayley transform $(I + A)^{-1}(I - A)$ with $A = W - W^\top$: a rotation, whatever the entries of `W`.

    $I + A$ is never singular, since the real part of each of its eigenvalues is 1.  Zero gives the identity.  Computed in
    float64, whatever the dtype: it is small, and its error reaches every sample.

    Args:
        raw: `W`, `(n, n)`, float.

    Returns:
        `(n, n)`, float64, differentiable.

    Source: Cayley (1846); as a parameterization of network layers: Trockman and Kolter, "Orthogonalizing Convolutional Layers
    with the Cayley Transform" (2021).

    Example:
        >>> rotation = cayley(tf.random.normal([3, 3]))
        >>> tf.norm(rotation, axis=0).numpy().round(12).tolist(), round(float(tf.linalg.det(rotation)), 12)
        ([1.0, 1.0, 1.0], 1.0)
    """
    raw = tf.cast(raw, tf.float64)
    skew = raw - tf.transpose(raw)
    eye = tf.eye(raw.shape[0], dtype=tf.float64)
    return tf.linalg.solve(eye + skew, eye - skew)


def householder_product(vectors: tf.Tensor, columns: int | None = None) -> tf.Tensor:
    r"""The first columns of $H_1 \cdots H_k$, $H_i = I - 2 v_i v_i^\top / |v_i|^2$: orthonormal, whatever the vectors.

    With the columns $u_i = v_i / |v_i|$ of `U` it is $I - U T U^\top$, $T^{-1} = \tfrac12 I + \mathrm{striu}(U^\top U)$:
    two products of matrices and a triangular solve of size k.  `k` reflections reach every k orthonormal columns, up to signs.

    Args:
        vectors: `(n, k)`, float.
        columns: how many of the n; all by default.

    Returns:
        `(n, columns)`, float64, differentiable.

    Source: Joffrain et al., "Accumulating Householder transformations, revisited" (2006), theorem 2.

    Example:
        >>> q = householder_product(tf.random.normal([4, 2]), columns=2)
        >>> q.shape, float(tf.norm(tf.matmul(q, q, transpose_a=True) - tf.eye(2, dtype=tf.float64))) < 1e-12
        (TensorShape([4, 2]), True)
    """
    vectors = tf.cast(vectors, tf.float64)
    # A vector of zeros, should training ever find one, then reflects nothing, and its gradient is finite.
    squares = tf.maximum(tf.reduce_sum(tf.square(vectors), 0), np.finfo(np.float64).tiny)
    unit = vectors / tf.sqrt(squares)
    upper = tf.linalg.band_part(tf.matmul(unit, unit, transpose_a=True), 0, -1)
    upper = tf.linalg.set_diag(upper, 0.5 * tf.ones_like(squares))
    turned = tf.linalg.triangular_solve(upper, tf.transpose(unit)[:, :columns], lower=False)
    return tf.eye(vectors.shape[0], columns, dtype=tf.float64) - tf.matmul(unit, turned)


def nonexpansive(matrix: tf.Tensor, dtype: tf.DType, gain: float = 1.0) -> tf.Tensor:
    r"""A matrix of norm 1 up to rounding, times `gain`, and divided by what makes that its norm after the cast to `dtype`.

    $\|M\|_2^2 \le \|M^\top M\|_\infty$ (or $M M^\top$, where that is smaller), 1 up to a few roundings for an orthogonal `M`;
    the cast moves each entry by at most a unit of `dtype`, so the norm by at most that times $\|M\|_F$.

    Args:
        matrix: `(m, n)`, float64.
        dtype: floating.
        gain: the norm that it may have.

    Returns:
        `(m, n)` in `dtype`; no gradient flows through the divisor.

    Source: inntf.

    Example:
        >>> small = nonexpansive(tf.eye(4, dtype=tf.float64), tf.float32)
        >>> bool(tf.reduce_all(tf.linalg.diag_part(small) <= 1)), bool(tf.reduce_all(tf.linalg.diag_part(small) > 1 - 1e-6))
        (True, True)
    """
    held = tf.stop_gradient(matrix)
    tall = matrix.shape[0] >= matrix.shape[1]
    product = tf.linalg.matmul(held, held, transpose_a=tall, transpose_b=not tall)
    norm = tf.sqrt(tf.reduce_max(tf.reduce_sum(tf.abs(product), 1)))
    return tf.cast(matrix * (gain / (tf.maximum(norm, 1.0) + _ROUNDED[dtype] * tf.norm(held))), dtype)
