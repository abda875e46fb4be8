"""Jacobian products and exact Jacobians of batched functions.

Every function here takes a callable `x -> y` that works sample by sample: row `b` of `y` depends on row `b` of `x`
alone.  So one product serves the whole batch, each sample with its own Jacobian.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from inntf.numerics.shared_traces import traced

Function = Callable[[tf.Tensor], tf.Tensor]

_NUMBERS_A_PASS = 2**16  # of all rows of a Jacobian that are computed at once
_PASSES_BY_HAND = 32  # beyond, a trace of the function costs less than its operations one by one in every pass
_traces: weakref.WeakKeyDictionary[Function, Callable[[tf.Tensor, int], tf.Tensor]] = weakref.WeakKeyDictionary()


class Linearization:
    """A function evaluated once at `x`, ready for any number of Jacobian products.

    Two persistent tapes hold `y = f(x)` and `g(u) = J^T u`.  `g` is linear in `u`, so its own gradient is `J v`:
    the double vector-Jacobian trick, which works through every op that has a second derivative, and costs one
    backward pass a product where forward mode would cost more.

    Args:
        function: `x -> y`, sample by sample.
        x: `(batch, ...)`, float.

    Attributes:
        x: the point, a fresh tensor.
        value: `f(x)`, `(batch, ...)`.

    Raises:
        TypeError: if `x` is not float.

    Source: J. Townsend, "A new trick for calculating Jacobian vector products" (2017).

    Example:
        >>> a = tf.constant([[1.0, 2.0], [0.0, 3.0]])
        >>> at = Linearization(lambda x: x @ tf.transpose(a), tf.zeros([1, 2]))
        >>> at.jvp(tf.constant([[0.0, 1.0]])).numpy().tolist()
        [[2.0, 3.0]]
    """

    def __init__(self, function: Function, x: tf.Tensor):
        x = _float(x)
        self.x = tf.identity(x)  # a fresh tensor: nothing cached under the caller's one can answer for it
        self._outer = tf.GradientTape(persistent=True, watch_accessed_variables=False)
        self._inner = tf.GradientTape(persistent=True, watch_accessed_variables=False)
        with self._outer:
            with self._inner:
                self._inner.watch(self.x)
                self.value = tf.convert_to_tensor(function(self.x))
            self._dummy = tf.zeros_like(self.value)
            self._outer.watch(self._dummy)
            self._pulled = self._inner.gradient(
                self.value, self.x, output_gradients=self._dummy, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )

    def vjp(self, w: tf.Tensor) -> tf.Tensor:
        """`J^T w`, of the shape of `x`; `w` has the shape of `f(x)`."""
        return self._inner.gradient(
            self.value,
            self.x,
            output_gradients=tf.cast(w, self.value.dtype),
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )

    def jvp(self, v: tf.Tensor) -> tf.Tensor:
        """`J v`, of the shape of `f(x)`; `v` has the shape of `x`."""
        return self._outer.gradient(
            self._pulled,
            self._dummy,
            output_gradients=tf.cast(v, self.x.dtype),
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )


def jvp(function: Function, x: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
    """Jacobian times vector, `J(x) v`, by two vector-Jacobian products.

    Args:
        function: `x -> y`, sample by sample.
        x: `(batch, ...)`, float.
        v: tangent, of the shape of `x`.

    Returns:
        `J v`, of the shape of `function(x)`.

    Raises:
        TypeError: if `x` is not float.

    Source: J. Townsend, "A new trick for calculating Jacobian vector products" (2017).

    Example:
        >>> jvp(tf.square, tf.constant([[3.0]]), tf.constant([[2.0]])).numpy().tolist()
        [[12.0]]
    """
    x = tf.identity(_float(x))
    with tf.GradientTape(watch_accessed_variables=False) as outer:
        with tf.GradientTape(watch_accessed_variables=False) as inner:
            inner.watch(x)
            y = function(x)
        dummy = tf.zeros_like(y)
        outer.watch(dummy)
        pulled = inner.gradient(y, x, output_gradients=dummy, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return outer.gradient(
        pulled, dummy, output_gradients=tf.cast(v, x.dtype), unconnected_gradients=tf.UnconnectedGradients.ZERO
    )


def vjp(function: Function, x: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
    """Transposed Jacobian times vector, `J(x)^T w`.

    Args:
        function: `x -> y`, sample by sample.
        x: `(batch, ...)`, float.
        w: cotangent, of the shape of `function(x)`.

    Returns:
        `J^T w`, of the shape of `x`.

    Raises:
        TypeError: if `x` is not float.

    Source: reverse-mode differentiation.

    Example:
        >>> vjp(tf.square, tf.constant([[3.0]]), tf.constant([[2.0]])).numpy().tolist()
        [[12.0]]
    """
    x = tf.identity(_float(x))
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x, output_gradients=tf.cast(w, y.dtype), unconnected_gradients=tf.UnconnectedGradients.ZERO)


def batch_jacobian(function: Function, x: tf.Tensor, rows: int | None = 1) -> tf.Tensor:
    """The exact Jacobian of every sample, events flattened: `J[b, i, j] = dy[b, i] / dx[b, j]`.

    Reverse mode, `rows` rows of the Jacobian a pass: the batch is repeated `rows` times, the function evaluated once, and each
    copy asked for another row.  One row a pass is lean (no more memory than one backward pass); more rows are faster, where
    the cost of a pass is mostly the number of its ops.  A `tf.function` is fastest: all of it is traced once for all calls with
    it.  Another function is traced for the call alone, and only where there are many passes.

    Args:
        function: `x -> y`, sample by sample; with more than one row it must take a batch of `rows * batch`
            (samples in order, repeated as a whole).
        x: `(batch, ...)`, float.
        rows: rows of the Jacobian a pass, at least 1; `None` for as many as make some ten thousand numbers of `x`, and at
            most as many as `x` has.

    Returns:
        `(batch, dim_y, dim_x)`.

    Raises:
        ValueError: if `rows` is not positive or an event has an unknown size; TypeError: if `x` is not float.

    Source: reverse-mode differentiation.

    Example:
        >>> batch_jacobian(lambda x: 3.0 * x, tf.zeros([2, 2])).numpy().tolist()
        [[[3.0, 0.0], [0.0, 3.0]], [[3.0, 0.0], [0.0, 3.0]]]
    """
    x = _float(x)
    if rows is not None and rows < 1:
        raise ValueError(f"batch_jacobian: received rows={rows}, expected at least 1. Pass how many rows to take at once.")
    columns = _event_size(x, "x")
    if rows is None:
        rows = max(1, min(columns, _NUMBERS_A_PASS // max(1, columns * (x.shape[0] or 1))))
    if tf.executing_eagerly() and not tf.config.functions_run_eagerly():
        if isinstance(function, tf.types.experimental.PolymorphicFunction):
            return _traced(function)(x, rows)
        if columns > _PASSES_BY_HAND * rows:
            return tf.function(lambda x: _in_passes(function, x, rows), autograph=False)(x)
    return _in_passes(function, x, rows)


def _in_passes(function: Function, x: tf.Tensor, rows: int) -> tf.Tensor:
    batch, columns = tf.shape(x)[0], _event_size(x, "x")
    copies = x if rows == 1 else tf.tile(x, [rows] + [1] * (x.shape.rank - 1))
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(copies)
        y = tf.convert_to_tensor(function(copies))
    height = _event_size(y, "y")
    passes = -(-height // rows)
    # Beyond the last row the units are zero, so the last pass needs no case of its own.
    units = np.eye(passes * rows, height, dtype=y.dtype.as_numpy_dtype).reshape(passes, rows, 1, height)

    def some_rows(units: tf.Tensor) -> tf.Tensor:
        seed = tf.reshape(tf.broadcast_to(units, [rows, batch, height]), tf.shape(y))
        found = tape.gradient(y, copies, output_gradients=seed, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return tf.reshape(found, [rows, batch, columns])

    if passes == 1:
        found = some_rows(units[0])
    elif tf.executing_eagerly():
        found = tf.concat([some_rows(part) for part in units], 0)
    else:
        found = tf.map_fn(some_rows, tf.constant(units), fn_output_signature=x.dtype, parallel_iterations=1)
        found = tf.reshape(found, [passes * rows, batch, columns])
    return tf.transpose(found if passes * rows == height else found[:height], [1, 0, 2])


def _traced(function: Function) -> Callable[[tf.Tensor, int], tf.Tensor]:
    """`(x, rows)` to the Jacobian, traced once for a `tf.function`."""
    if function not in _traces:
        known = weakref.ref(function)  # a strong one would keep the entry for ever

        def in_passes(x: tf.Tensor, rows: int) -> tf.Tensor:
            alive = known()
            if alive is None:
                raise ReferenceError("jacobian: the function is gone")
            return _in_passes(alive, x, rows)

        _traces[function] = traced(in_passes)
    return _traces[function]


def _event_size(x: tf.Tensor, what: str) -> int:
    size = x.shape[1:].num_elements()
    if size is None:
        raise ValueError(f"batch_jacobian: received {what} of shape {x.shape}, expected known event dimensions. Set its shape.")
    return size


def _float(x: tf.Tensor) -> tf.Tensor:
    x = tf.convert_to_tensor(x)
    if not x.dtype.is_floating:
        raise TypeError(f"Jacobian: received a {x.dtype.name} tensor, expected a float one. Cast it with tf.cast.")
    return x
