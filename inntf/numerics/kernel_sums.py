"""Sums of a kernel over one of two sets of points, in tiles: memory that does not grow with the product of their sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from inntf.numerics.kernels import Kernel

TILE = 2**20
"""Entries of the kernel matrix that are held at a time, forward and backward."""


def kernel_sums(x: tf.Tensor, y: tf.Tensor, kernel: Kernel, tile: int = TILE) -> tf.Tensor:
    r"""$\sum_j k(\|x_i - y_j\|^2)$ for each point $x_i$.

    A small matrix is made at once.  A large one is made in tiles of about `tile` entries, and once more by the gradient, so
    that neither direction keeps what grows like `n * m`.  Gradients are finite at coinciding points, too: a squared distance
    has no kink.

    Args:
        x: `(batch, n, dim)`.
        y: `(batch, m, dim)`.
        kernel: of squared distances.
        tile: entries at a time; at least one row of `m`.

    Returns:
        `(batch, n)`.

    Source: Gretton et al., "A kernel two-sample test" (2012), eq. 5, whose three double sums are sums of these.

    Example:
        >>> from inntf.numerics import Gaussian
        >>> x, y = tf.zeros([1, 2, 3]), tf.zeros([1, 5, 3])
        >>> kernel_sums(x, y, Gaussian([1.0])).numpy().tolist()
        [[5.0, 5.0]]
    """
    sizes = (x.shape[0], x.shape[1], y.shape[1])
    if None not in sizes and sizes[0] * sizes[1] * sizes[2] <= tile:
        return _row_sums((x,), (y,), kernel)
    return _in_tiles(x, y, kernel, tile)


def squared_distances(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """`|x_i - y_j|^2`, `(batch, n, m)`; what is common to all points is taken off first, for rounding."""
    middle = tf.stop_gradient(tf.reduce_mean(y, -2, keepdims=True))
    x, y = x - middle, y - middle
    squares = tf.reduce_sum(x * x, -1)[..., :, None] + tf.reduce_sum(y * y, -1)[..., None, :]
    return tf.maximum(squares - 2 * tf.matmul(x, y, transpose_b=True), 0)


@tf.function(reduce_retracing=True, autograph=False)  # a loop of small operations: three times as fast as one by one
def _in_tiles(x: tf.Tensor, y: tf.Tensor, kernel: Kernel, tile: int) -> tf.Tensor:
    @tf.custom_gradient
    def in_tiles(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            def of_rows(rows: tuple, others: tuple) -> tf.Tensor:
                with tf.GradientTape() as tape:
                    tape.watch(rows[0])
                    total = tf.reduce_sum(rows[1] * _row_sums(rows, others, kernel))
                return tape.gradient(total, rows[0])

            def of_others(rows: tuple, others: tuple) -> tf.Tensor:
                with tf.GradientTape() as tape:
                    tape.watch(rows[0])
                    total = tf.reduce_sum(tf.linalg.matvec(kernel(squared_distances(rows[0], others[0])), others[1]))
                return tape.gradient(total, rows[0])

            return _by_rows(of_rows, (x, upstream), (y,), tile), _by_rows(of_others, (y,), (x, upstream), tile)

        return _by_rows(lambda rows, others: _row_sums(rows, others, kernel), (x,), (y,), tile), gradient

    return in_tiles(x, y)


def _row_sums(rows: tuple, others: tuple, kernel: Kernel) -> tf.Tensor:
    return tf.reduce_sum(kernel(squared_distances(rows[0], others[0])), -1)


def _by_rows(function: Callable[[tuple, tuple], tf.Tensor], rows: tuple, others: tuple, tile: int) -> tf.Tensor:
    """`function(rows, others)` for tiles of the rows, put together; all tensors are `(batch, points, ...)`."""
    dtype = rows[0].dtype
    batch, n, m = rows[0].shape[0], rows[0].shape[1], others[0].shape[1]
    if None not in (batch, n, m) and n * m <= tile:
        parts = [tuple(_chunks(t, max(1, tile // max(1, n * m))) for t in tensors) for tensors in (rows, others)]
        made = _map(lambda part: function(*part), tuple(parts), dtype)
        return _joined(made)[:batch]

    def one(part: tuple) -> tf.Tensor:
        rows, others = part
        size = tf.maximum(1, tile // tf.maximum(1, tf.shape(others[0])[0]))
        fixed = tuple(t[None] for t in others)
        tiles = tuple(_chunks(t, size) for t in rows)
        made = _map(lambda part: function(tuple(t[None] for t in part), fixed)[0], tiles, dtype)
        return _joined(made)[: tf.shape(rows[0])[0]]

    return _map(one, (rows, others), dtype)


def _map(function: Callable, parts: Any, dtype: tf.DType) -> tf.Tensor:
    return tf.map_fn(function, parts, fn_output_signature=dtype, parallel_iterations=1)


def _chunks(tensor: tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """`(n, ...)` as `(chunks, size, ...)`, zeros at the end."""
    shape = tf.shape(tensor)
    chunks = (shape[0] + size - 1) // size
    ends = tf.one_hot(0, tf.rank(tensor), dtype=tf.int32) * (chunks * size - shape[0])
    return tf.reshape(tf.pad(tensor, tf.stack([tf.zeros_like(ends), ends], 1)), tf.concat([[chunks, size], shape[1:]], 0))


def _joined(tensor: tf.Tensor) -> tf.Tensor:
    shape = tf.shape(tensor)
    return tf.reshape(tensor, tf.concat([[shape[0] * shape[1]], shape[2:]], 0))
