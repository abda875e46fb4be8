"""Norms of `I + A diag(t) B` and of its inverse for all `t` in a box, `A` and `B` triangular: exact where they are small."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

EXACT_UP_TO = 8  # rows: twice as many corners with each more
_ROOM = 1 + 1e-12


def inner_diagonal_norms(outer: tf.Tensor, inner: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    r"""The largest $\|J_t\|_2$ and $\|J_t^{-1}\|_2$ of $J_t = I + A\,\mathrm{diag}(t)\,B$ for $0 \le l \le t \le h$.

    Both are attained at corners of the box: $J_t$ is affine in each entry, and so is its inverse in
    $t_i / (1 + t_i \kappa_i)$, which grows with $t_i$ (Sherman-Morrison), so that either norm is convex in something monotone
    of each.  Up to 8 rows all corners are tried.  Beyond, with the middle `m` of the box, half its widths `d` and $C = BA$,

    $$\|J_t\| \le \|J_m\| + \|A D^{1/2}\| \|D^{1/2} B\|, \qquad
      \|J_t^{-1}\| \le 1 + \big\| |A|\, (\mathrm{diag}(1/h_i + c_{ii}) - |C - \mathrm{diag}\,C|)^{-1} |B| \big\|,$$

    since $J_t^{-1} = I - A\,(\mathrm{diag}(1/t) + C)^{-1} B$, and the inverse of a triangular matrix is, by entries, at most
    that of its comparison matrix.

    Args:
        outer: `A`, `(n, n)`, float64, upper triangular.
        inner: `B`, `(n, n)`, upper triangular, with $a_{ii} b_{ii} > -1$.
        low: l, `(n,)`.
        high: h, `(n,)`.

    Returns:
        Two scalars, none of them too small; infinity where rounding leaves no proof.

    Source: inntf; comparison matrices: Higham, "Accuracy and Stability of Numerical Algorithms" (2002), section 8.3.

    Example:
        >>> one = tf.ones([1, 1], tf.float64)
        >>> most, back = inner_diagonal_norms(one, -0.5 * one, 0 * one[0], one[0])
        >>> round(float(most), 9), round(float(back), 9)
        (1.0, 2.0)
    """
    rows = outer.shape[0]
    back = _by_comparison(outer, inner, high)
    if rows > EXACT_UP_TO:
        root = tf.sqrt((high - low) / 2)
        centre = _between(outer, inner, ((low + high) / 2)[None])[0]
        return (_norm(centre) + _norm(outer * root) * _norm(root[:, None] * inner)) * _ROOM, back * _ROOM
    corners = tf.constant((np.arange(2**rows)[:, None] >> np.arange(rows)) & 1, tf.float64)
    singular = tf.linalg.svd(_between(outer, inner, low + corners * (high - low)), compute_uv=False)
    most = tf.reduce_max(singular)
    least = tf.reduce_min(singular[:, -1] - 16 * rows * float(np.finfo(np.float64).eps) * singular[:, 0])
    exact = tf.where(least > 0, 1 / tf.where(least > 0, least, tf.ones_like(least)), np.inf * tf.ones_like(least))
    return most * _ROOM, tf.minimum(exact, back) * _ROOM


def moved_inside(outer: np.ndarray, inner: np.ndarray, moved: np.ndarray) -> np.ndarray:
    r"""Bounds of $\|A\,\mathrm{diag}(e)\,B\|_2$ for $|e_i| \le$ `moved`: the smaller of two.

    $\| |A|\,\mathrm{diag}(d)\,|B| \|$, and $\|A D^{1/2}\| \|D^{1/2} B\|$; of one row both are exact.

    Args:
        outer: `A`, `(m, k)`, float64.
        inner: `B`, `(k, m)`.
        moved: d, `(n, k)`, not negative.

    Returns:
        `(n,)`.

    Source: inntf.

    Example:
        >>> moved_inside(np.eye(2), np.eye(2), np.array([[1.0, 2.0]])).round(9).tolist()
        [2.0]
    """
    known = np.isfinite(moved).all(1)
    root = np.sqrt(np.where(known[:, None], moved, 0.0))
    left, right = outer * root[:, None, :], root[:, :, None] * inner
    ways = (
        np.linalg.norm(np.abs(left) @ np.abs(right), 2, (1, 2)),
        np.linalg.norm(left, 2, (1, 2)) * np.linalg.norm(right, 2, (1, 2)),
    )
    return np.where(known, np.minimum(*ways) * _ROOM, np.inf)


def _between(outer: tf.Tensor, inner: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
    return tf.eye(outer.shape[0], dtype=outer.dtype) + tf.matmul(outer * t[:, None, :], inner)


def _norm(matrix: tf.Tensor) -> tf.Tensor:
    return tf.reduce_max(tf.linalg.svd(matrix, compute_uv=False))


def _by_comparison(outer: tf.Tensor, inner: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    product = tf.matmul(inner, outer)
    diagonal = tf.linalg.diag_part(product)
    off = tf.abs(product - tf.linalg.diag(diagonal))
    compared = tf.linalg.diag(1 + diagonal * high) - off * high
    solved = high[:, None] * tf.linalg.triangular_solve(compared, tf.abs(inner), lower=False)
    return 1 + _norm(tf.matmul(tf.abs(outer), solved))
