"""Independent derivatives: exact Jacobians by automatic differentiation, and finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf


def jacobians(function: Callable, value: tf.Tensor, condition: tf.Tensor | None = None) -> np.ndarray:
    """`(batch, outputs, inputs)`: the Jacobian of each sample, from one backward pass over repeated samples."""
    out = function(value, condition)
    batch, width = value.shape[0], int(np.prod(out.shape[1:]))
    repeated = tf.repeat(value, width, 0)
    with tf.GradientTape() as tape:
        tape.watch(repeated)
        outputs = function(repeated, None if condition is None else tf.repeat(condition, width, 0))
    rows = tf.reshape(tf.tile(tf.eye(width, dtype=outputs.dtype), [batch, 1]), tf.shape(outputs))
    gradient = tape.gradient(outputs, repeated, output_gradients=rows, unconnected_gradients="zero")
    return np.asarray(gradient).reshape(batch, width, -1)


def slogdets(matrices: np.ndarray) -> np.ndarray:
    """`log|det|` of each matrix; they must be square."""
    assert matrices.shape[-1] == matrices.shape[-2], f"the Jacobian is not square: {matrices.shape[1:]}"
    return np.linalg.slogdet(matrices)[1]


STEP = 1e-6


def slope(
    function: Callable[[], tf.Tensor], variables: Sequence[tf.Variable], directions: Sequence[np.ndarray], step: float = STEP
) -> float:
    """Central difference of a scalar function of variables along a direction."""
    start = [v.numpy() for v in variables]
    values = []
    for sign in (1, -1):
        for v, s, d in zip(variables, start, directions, strict=True):
            v.assign(s + sign * step * d)
        values.append(float(function()))
    for v, s in zip(variables, start, strict=True):
        v.assign(s)
    return (values[0] - values[1]) / (2 * step)
