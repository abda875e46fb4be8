"""Spectral norms of matrices, exact, and of any linear map by power iteration, estimated from below."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import record

from inntf.numerics.shared_traces import run_shared
from inntf.numerics.xla_convolution import convolution

LinearMap = Callable[[tf.Tensor], tf.Tensor]
ROUND_OFF = 1e-10  # relative; float64 rounding stays below 1e-11 for thousands of channels


def spectral_norm(matrix: Any) -> float:
    r"""Exact spectral norm $\sigma_{\max}(W) = \sqrt{\lambda_{\max}(W^\top W)}$, in float64, rounded up by 1e-10.

    Args:
        matrix: `(rows, columns)`.

    Returns:
        The norm, never below the true one; infinity if an entry is not finite.

    Raises:
        ValueError: if it is no matrix.

    Source: Gouk et al., "Regularisation of Neural Networks by Enforcing Lipschitz Continuity" (2021).

    Example:
        >>> round(spectral_norm([[3.0, 0.0], [4.0, 0.0]]), 6)
        5.0
    """
    matrix = np.asarray(matrix, np.float64)
    if matrix.ndim != 2:
        raise ValueError(
            f"spectral_norm: received shape {matrix.shape}, expected (rows, columns). "
            "Reshape it; for a convolution use conv_norm_bound, its reshaped kernel says little."
        )
    if not np.all(np.isfinite(matrix)):
        return math.inf
    scale = float(np.max(np.abs(matrix), initial=0.0))
    if scale == 0:
        return 0.0
    unit = matrix / scale  # the Gram matrix of huge or tiny entries would overflow or vanish
    gram = unit @ unit.T if unit.shape[0] <= unit.shape[1] else unit.T @ unit
    return scale * math.sqrt(max(float(np.linalg.eigvalsh(gram)[-1]), 0.0)) * (1 + ROUND_OFF)


def reshaped_kernel_norm(kernel: Any) -> float:
    """Spectral norm of a convolution kernel reshaped to a matrix: a baseline only, **no bound** of the convolution.

    With `s` this norm, that of the convolution lies between `s / sqrt(taps)` and `s * sqrt(taps)`.

    Args:
        kernel: `(kernel_height, kernel_width, in_channels, out_channels)`.

    Returns:
        The norm of the (taps * in_channels, out_channels) matrix.

    Source: Miyato et al., "Spectral Normalization for GANs" (2018), which applies it to convolutions.

    Example:
        >>> round(reshaped_kernel_norm(np.ones([3, 3, 1, 1])), 3)  # the convolution's norm tends to 9
        3.0
    """
    kernel = np.asarray(kernel, np.float64)
    return spectral_norm(kernel.reshape(-1, kernel.shape[-1]))


def power_iteration(
    apply: LinearMap, apply_transpose: LinearMap, v: tf.Tensor, iterations: int = 100, tolerance: float = 1e-4
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    r"""Largest singular value of a linear map by power iteration; an estimate from below, never a bound.

    $u \leftarrow Wv/\|Wv\|$, $v \leftarrow W^\top u/\|W^\top u\|$, until $\sigma = \|W^\top u\|$ changes by less than
    `tolerance` relative to itself.  No gradient flows; differentiate `sum(u * apply(v))` with `u`, `v` as constants.

    Args:
        apply: the map, from the shape of `v` to the shape of `u`.
        apply_transpose: its transpose.
        v: the start, not orthogonal to the answer; keep the returned one for the next call.
        iterations: the most that are made.
        tolerance: relative change of the estimate at which to stop.

    Returns:
        `(sigma, u, v)`: the estimate and unit vectors with `sigma = <u, W v>`.

    Source: Gouk et al., "Regularisation of Neural Networks by Enforcing Lipschitz Continuity" (2021).

    Example:
        >>> w = tf.constant([[3.0, 0.0], [0.0, 1.0]])
        >>> sigma, u, v = power_iteration(lambda v: tf.linalg.matvec(w, v), lambda u: tf.linalg.matvec(w, u), tf.ones([2]))
        >>> round(float(sigma), 3)
        3.0
    """
    v = unit_vector(tf.stop_gradient(v), tf.stop_gradient(v))

    def go_on(i: tf.Tensor, v: tf.Tensor, sigma: tf.Tensor, previous: tf.Tensor) -> tf.Tensor:
        return (i < 2) | (tf.abs(sigma - previous) > tolerance * sigma)

    def step(i: tf.Tensor, v: tf.Tensor, sigma: tf.Tensor, previous: tf.Tensor) -> tuple[tf.Tensor, ...]:
        w = apply(v)
        back = apply_transpose(unit_vector(w, tf.zeros_like(w)))
        return i + 1, tf.ensure_shape(unit_vector(back, v), v.shape), tf.norm(back), sigma

    zero = tf.zeros([], v.dtype)
    _, v, _, _ = tf.while_loop(go_on, step, (tf.constant(0), v, zero, zero), maximum_iterations=iterations)
    w = apply(v)
    u = unit_vector(w, tf.zeros_like(w))
    return tf.stop_gradient(tf.norm(w)), tf.stop_gradient(u), tf.stop_gradient(v)


def dense_power_iteration(
    kernel: tf.Tensor, v: tf.Tensor, iterations: int = 100, tolerance: float = 1e-4
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """`power_iteration` for a dense layer `x @ kernel`.

    Args:
        kernel: (in, out).
        v: the start, (in,).
        iterations: the most that are made.
        tolerance: relative change of the estimate at which to stop.

    Returns:
        `(sigma, u, v)` of shapes (), (out,), (in,).

    Source: Miyato et al., "Spectral Normalization for GANs" (2018).

    Example:
        >>> sigma, u, v = dense_power_iteration(tf.constant([[3.0], [4.0]]), tf.ones([2]))
        >>> round(float(sigma), 3)
        5.0
    """

    def iterate(kernel: tf.Tensor, v: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        ahead, back = (lambda v: tf.linalg.matvec(kernel, v, transpose_a=True)), (lambda u: tf.linalg.matvec(kernel, u))
        return power_iteration(ahead, back, v, iterations, tolerance)

    return _in_one_call(iterate, kernel, v, "dense", iterations, tolerance)


def conv_power_iteration(
    kernel: tf.Tensor,
    v: tf.Tensor,
    strides: int | tuple[int, int] = 1,
    padding: str = "same",
    dilation: int | tuple[int, int] = 1,
    iterations: int = 100,
    tolerance: float = 1e-4,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """`power_iteration` with the true convolution and its transpose, at the size of `v`.

    Args:
        kernel: (kernel_height, kernel_width, in_channels, out_channels).
        v: the start, (1, height, width, in_channels).
        strides: one number or (vertical, horizontal), in pixels.
        padding: "same" or "valid".
        dilation: one number or (vertical, horizontal), in pixels.
        iterations: the most that are made.
        tolerance: relative change of the estimate at which to stop.

    Returns:
        `(sigma, u, v)`, `u` of the convolution's output shape.

    Source: Gouk et al., "Regularisation of Neural Networks by Enforcing Lipschitz Continuity" (2021).

    Example:
        >>> sigma, u, v = conv_power_iteration(tf.ones([1, 1, 1, 1]) * 2, tf.ones([1, 4, 4, 1]))
        >>> round(float(sigma), 3)
        2.0
    """
    how = pair(strides), padding, pair(dilation)

    def iterate(kernel: tf.Tensor, v: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        ahead, back = (lambda v: conv(kernel, v, *how)), (lambda u: conv_transpose(kernel, u, v.shape, *how))
        return power_iteration(ahead, back, v, iterations, tolerance)

    return _in_one_call(iterate, kernel, v, how, iterations, tolerance)


def _in_one_call(iterate: Callable, kernel: tf.Tensor, v: tf.Tensor, *settings: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Eagerly by a trace for all kernels of a shape: step by step, most of the time goes into calls."""
    kernel, v = tf.stop_gradient(kernel), tf.convert_to_tensor(v)
    key = "power iteration", settings, str((kernel.shape, v.shape, v.dtype))
    with record.stop_recording():  # no gradient flows, so none is prepared
        return run_shared(key, iterate, kernel, v)


def conv(kernel: tf.Tensor, x: tf.Tensor, strides: Any = 1, padding: str = "same", dilation: Any = 1) -> tf.Tensor:
    """The convolution of a layer as a function of `(kernel, x)`; x: (batch, height, width, in_channels).

    The kernel is dilated explicitly: the transpose has no dilation on CPU.
    """
    return convolution(x, _dilated(kernel, dilation), pair(strides), padding.upper(), (1, 1))


def conv_transpose(
    kernel: tf.Tensor, y: tf.Tensor, shape: Any, strides: Any = 1, padding: str = "same", dilation: Any = 1
) -> tf.Tensor:
    """The transpose of `conv`, to values of shape `shape`; y: (batch, out_height, out_width, out_channels)."""
    return tf.nn.conv2d_transpose(y, _dilated(kernel, dilation), shape, strides, padding.upper(), data_format="NHWC")


def unit_vector(x: tf.Tensor, otherwise: tf.Tensor) -> tf.Tensor:
    """`x / |x|`, or `otherwise` where x is zero, as for a layer initialised to zero."""
    norm = tf.norm(x)
    return tf.where(norm > 0, x / tf.where(norm > 0, norm, tf.ones_like(norm)), otherwise)


def pair(value: Any) -> tuple[int, int]:
    """(vertical, horizontal) of one number for both, or of two."""
    return (int(value), int(value)) if np.ndim(value) == 0 else (int(value[0]), int(value[1]))


def _dilated(kernel: tf.Tensor, dilation: Any) -> tf.Tensor:
    for axis, rate in enumerate(pair(dilation)):
        taps = kernel.shape[axis]
        if rate > 1 and taps > 1:
            place = tf.one_hot(tf.range(taps) * rate, (taps - 1) * rate + 1, dtype=kernel.dtype)
            kernel = tf.einsum("at,abio->tbio" if axis == 0 else "bt,abio->atio", place, kernel)
    return kernel
