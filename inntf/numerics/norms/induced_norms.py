"""Norms of matrices between l_p spaces: closed forms, a bound for the rest, and the power method."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from inntf.numerics.norms.power_iteration import spectral_norm

Order: TypeAlias = float | tf.Tensor


def induced_norm(kernel: Any, p: float, q: float) -> float:
    r"""Exact $\|W\|_{p \to q} = \max_{\|v\|_p = 1} \|Wv\|_q$ of a dense layer `x @ kernel`, where a closed form exists.

    $1 \to q$: the largest l_q norm over inputs; $p \to \infty$: the largest l_{p*} norm over outputs ($1/p + 1/p^* = 1$);
    $2 \to 2$: the spectral norm.  The others are NP-hard in general.

    Args:
        kernel: `(in, out)`, as in Keras.
        p: order of the norm of the input, from 1 to infinity.
        q: order of the norm of the output, from 1 to infinity.

    Returns:
        The norm.

    Raises:
        ValueError: if no closed form exists.

    Source: Tropp, "Topics in Sparse Approximation" (2004); used for flows by Chen et al., "Residual Flows" (2019).

    Example:
        >>> induced_norm([[1.0, -2.0], [3.0, 0.5]], 1, 1)
        3.5
    """
    kernel = _matrix(kernel)
    _orders(p, q)
    if p == 1:
        return float(np.max(np.linalg.norm(kernel, q, axis=1)))
    if math.isinf(q):
        return float(np.max(np.linalg.norm(kernel, conjugate(p), axis=0)))
    if p == q == 2:
        return spectral_norm(kernel)
    raise ValueError(
        f"induced_norm: received orders {p:g} -> {q:g}, expected 1 -> q, p -> infinity or 2 -> 2. "
        "For others use induced_norm_bound (from above) or induced_power_iteration (from below)."
    )


def induced_norm_bound(kernel: Any, p: float, q: float) -> float:
    r"""Upper bound of $\|W\|_{p \to q}$ for any orders, exact where `induced_norm` is.

    The least of the closed forms, each carried over by
    $\|v\|_a \le n^{\max(0, 1/a - 1/b)} \|v\|_b$ on the input and on the output.

    Args:
        kernel: `(in, out)`, as in Keras.
        p: order of the norm of the input, from 1 to infinity.
        q: order of the norm of the output, from 1 to infinity.

    Returns:
        The bound.

    Raises:
        ValueError: on an order below 1.

    Source: Hoelder's inequality; the closed forms as in `induced_norm`.

    Example:
        >>> round(induced_norm_bound([[1.0, 0.0], [0.0, 1.0]], math.inf, 1), 3)
        2.0
    """
    kernel = _matrix(kernel)
    _orders(p, q)
    n_in, n_out = kernel.shape
    pairs = [(1.0, q), (p, math.inf), (2.0, 2.0)]
    return min(_ratio(n_in, a, p) * induced_norm(kernel, a, b) * _ratio(n_out, q, b) for a, b in pairs)


def induced_power_iteration(
    kernel: tf.Tensor, v: tf.Tensor, p: Order = 2.0, q: Order = 2.0, iterations: int = 100, tolerance: float = 1e-4
) -> tuple[tf.Tensor, tf.Tensor]:
    r"""$\|W\|_{p \to q}$ by the power method from one or several starts; an estimate from below.

    $u$ is the dual vector of $Wv$ in $l_q$, $v$ the dual vector of $W^\top u$ in $l_{p^*}$.  For orders other than
    2 the iteration can stop in a local maximum, hence several starts; the best is returned.

    Args:
        kernel: (in, out).
        v: starts, (starts, in); keep the returned vector for the next call.
        p: order of the norm of the input, a number from 1 to infinity or a scalar tensor above 1.
        q: order of the norm of the output, likewise.
        iterations: the most that are made.
        tolerance: relative change, of every start, at which to stop.

    Returns:
        `(sigma, v)`: the estimate and the maximiser, (in,), of unit l_p norm; constants for the gradient.

    Source: Johnston, "How to compute hard-to-compute matrix norms" (2016), as in Chen et al., "Residual Flows" (2019).

    Example:
        >>> sigma, v = induced_power_iteration(tf.eye(2), tf.constant([[1.0, 0.5]]), math.inf, 1.0)
        >>> round(float(sigma), 3)
        2.0
    """
    kernel, v = tf.stop_gradient(kernel), tf.stop_gradient(v)
    p, q = _order(p), _order(q)
    dual_p = conjugate(p)
    v = _dual_of_dual(v, p)

    def go_on(i: tf.Tensor, v: tf.Tensor, sigma: tf.Tensor, previous: tf.Tensor) -> tf.Tensor:
        return (i < 2) | tf.reduce_any(tf.abs(sigma - previous) > tolerance * sigma)

    def step(i: tf.Tensor, v: tf.Tensor, sigma: tf.Tensor, previous: tf.Tensor) -> tuple[tf.Tensor, ...]:
        image = v @ kernel
        back = tf.linalg.matmul(_dual(image, q), kernel, transpose_b=True)
        new = tf.where(tf.reduce_any(back != 0, -1, keepdims=True), _dual(back, dual_p), v)
        return i + 1, tf.ensure_shape(new, v.shape), order_norm(image, q), sigma

    start = tf.zeros_like(v[:, 0])
    _, v, _, _ = tf.while_loop(go_on, step, (tf.constant(0), v, start, start), maximum_iterations=iterations)
    sigma = order_norm(v @ kernel, q)
    best = tf.argmax(sigma)
    return tf.stop_gradient(tf.gather(sigma, best)), tf.stop_gradient(tf.gather(v, best))


def norm_quotient(kernel: tf.Tensor, v: tf.Tensor, p: Order = 2.0, q: Order = 2.0) -> tf.Tensor:
    r"""$\|Wv\|_q / \|v\|_p$ with `v` constant: at the maximiser, its gradient is that of the norm.

    By the envelope theorem this holds for the gradient to the kernel and to learned orders alike.

    Args:
        kernel: (in, out).
        v: the maximiser, (in,).
        p: order of the norm of the input.
        q: order of the norm of the output.

    Returns:
        A scalar.

    Source: Danskin's theorem, for the estimate of Chen et al., "Residual Flows" (2019), induced mixed norms.

    Example:
        >>> float(norm_quotient(tf.eye(2) * 3, tf.constant([1.0, 0.0])))
        3.0
    """
    v = tf.stop_gradient(v)[None]
    return (order_norm(v @ kernel, _order(q)) / order_norm(v, _order(p)))[0]


def learned_order(raw: tf.Tensor, low: float = 1.0, high: float = 5.0) -> tf.Tensor:
    r"""A trainable order in (low, high): $p = low + (high - low)\,\mathrm{sigmoid}(raw)$; `raw = -ln 3` gives 2.

    Args:
        raw: any shape, unconstrained.
        low: the least order.
        high: the largest order.

    Returns:
        The orders, of the shape of `raw`.

    Source: Chen et al., "Residual Flows" (2019), learned norms.

    Example:
        >>> round(float(learned_order(-tf.math.log(3.0))), 3)
        2.0
    """
    return low + (high - low) * tf.sigmoid(raw)


def conjugate(p: Order) -> Order:
    """The order p* with 1/p + 1/p* = 1."""
    if isinstance(p, float | int):
        return math.inf if p == 1 else 1.0 if math.isinf(p) else p / (p - 1)
    return p / (p - 1)


def order_norm(x: tf.Tensor, order: Order) -> tf.Tensor:
    """The l_order norm over the last axis, scaled so that high powers neither overflow nor lose the gradient at zero."""
    size = tf.abs(x)
    largest = tf.reduce_max(size, -1, keepdims=True)
    if isinstance(order, float) and math.isinf(order):
        return largest[..., 0]
    if isinstance(order, float) and order == 1.0:
        return tf.reduce_sum(size, -1)
    scale = tf.stop_gradient(tf.where(largest > 0, largest, tf.ones_like(largest)))
    # The power of an exact zero has no gradient (0 * log 0): look away from it on both sides.
    ratio = tf.where(size > 0, size / scale, tf.ones_like(size))
    total = tf.reduce_sum(tf.where(size > 0, ratio**order, tf.zeros_like(size)), -1)
    some = total > 0
    return tf.where(some, tf.where(some, total, tf.ones_like(total)) ** (1 / order) * scale[..., 0], tf.zeros_like(total))


def _dual(x: tf.Tensor, order: Order) -> tf.Tensor:
    """The vector of unit l_{order*} norm whose product with x is |x|_order."""
    if isinstance(order, float) and math.isinf(order):
        return tf.one_hot(tf.argmax(tf.abs(x), -1), tf.shape(x)[-1], dtype=x.dtype) * tf.sign(x)
    if isinstance(order, float) and order == 1.0:
        return tf.sign(x)
    norm = order_norm(x, order)[..., None]
    safe = tf.where(norm > 0, norm, tf.ones_like(norm))
    return tf.sign(x) * (tf.abs(x) / safe) ** (order - 1)


def _dual_of_dual(v: tf.Tensor, p: Order) -> tf.Tensor:
    norm = order_norm(v, p)[..., None]
    return v / tf.where(norm > 0, norm, tf.ones_like(norm))


def _order(order: Order) -> Order:
    return order if tf.is_tensor(order) or isinstance(order, tf.Variable) else float(order)


def _ratio(n: int, a: float, b: float) -> float:
    """The largest |x|_a / |x|_b in n dimensions."""
    return n ** max(0.0, 1 / a - 1 / b)


def _matrix(kernel: Any) -> np.ndarray:
    kernel = np.asarray(kernel, np.float64)
    if kernel.ndim != 2:
        raise ValueError(f"induced norm: received shape {kernel.shape}, expected (in, out). Reshape the kernel.")
    return kernel


def _orders(p: float, q: float) -> None:
    if not (p >= 1 and q >= 1):
        raise ValueError(f"induced norm: received orders {p} -> {q}, expected numbers from 1 to infinity. Choose such orders.")
