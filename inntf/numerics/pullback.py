"""A function evaluated once, with any number of products by its transposed Jacobian."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import tensorflow as tf
from tensorflow.python import pywrap_tfe

Function = Callable[[tf.Tensor], tf.Tensor]
_UNROLL = 8  # the most rows written out; a loop keeps the graph small


@contextlib.contextmanager
def recording() -> Iterator[None]:
    """Let gradient tapes record even where an outer engine stopped them for its own forward pass.

    Reversible backpropagation stops all tapes of the thread; a tape opened inside would then see nothing, and answer
    with gradients that are silently zero.
    """
    stopped = pywrap_tfe.TFE_Py_TapeSetIsStopped()
    if stopped:
        pywrap_tfe.TFE_Py_TapeSetRestartOnThread()
    try:
        yield
    finally:
        if stopped:
            pywrap_tfe.TFE_Py_TapeSetStopOnThread()


class Pullback:
    """`w -> J(x)^T w` of a function that works sample by sample, from one evaluation of it.

    The products share the stored activations, run inside a `tf.while_loop` and are themselves differentiable, by `x`, by
    `w` and by all that the function closes over.

    Args:
        function: `(batch, *event) -> (batch, *event)`.
        x: where, float.

    Attributes:
        value: `function(x)`.

    Raises:
        TypeError: if `x` is not float; ValueError: if the function changes the shape.
    """

    def __init__(self, function: Function, x: tf.Tensor):
        x = tf.convert_to_tensor(x)
        if not x.dtype.is_floating:
            raise TypeError(f"log_det: received a {x.dtype.name} tensor, expected a float one. Cast it with tf.cast.")
        self.x = tf.identity(x)  # a fresh tensor: nothing cached under the caller's one can answer for it
        self._tape = tf.GradientTape(persistent=True, watch_accessed_variables=False)
        with recording(), self._tape:
            self._tape.watch(self.x)
            self.value = tf.convert_to_tensor(function(self.x))
        if not self.value.shape.is_compatible_with(x.shape):
            raise ValueError(
                f"log_det: received a function from shape {x.shape} to {self.value.shape}, expected one that keeps the "
                "shape. A residual branch has as many outputs as inputs."
            )

    def __call__(self, w: tf.Tensor) -> tf.Tensor:
        """`J^T w`, of the shape and dtype of `x`."""
        out = self._tape.gradient(
            self.value,
            self.x,
            output_gradients=tf.cast(w, self.value.dtype),
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        return tf.ensure_shape(out, self.x.shape)

    def jacobian(self) -> tf.Tensor:
        """`J` with events flattened, `(batch, dim, dim)`: one product a row.

        Raises:
            ValueError: if the event has an unknown size.
        """
        dim = event_size(self.x)

        def row(unit: tf.Tensor) -> tf.Tensor:
            unit = tf.reshape(unit, [1, *self.x.shape[1:]])
            return tf.reshape(self(tf.broadcast_to(unit, tf.shape(self.x))), [-1, dim])

        units = tf.eye(dim, dtype=self.x.dtype)
        if dim > _UNROLL:
            return tf.transpose(tf.map_fn(row, units, parallel_iterations=1), [1, 0, 2])
        return tf.stack([row(units[i]) for i in range(dim)], 1)


class DensePullback:
    """The same products from the whole Jacobian: cheaper than the function where the event is smaller than their number."""

    def __init__(self, of: Pullback):
        self.value, self.x = of.value, of.x
        self._jacobian = of.jacobian()

    def __call__(self, w: tf.Tensor) -> tf.Tensor:
        """`J^T w`, of the shape of `x`."""
        dim = event_size(self.x)
        out = tf.reduce_sum(self._jacobian * tf.reshape(w, [-1, dim, 1]), 1)
        return tf.ensure_shape(tf.reshape(out, tf.shape(self.x)), self.x.shape)


def event_size(x: tf.Tensor) -> int:
    """Numbers in one event.

    Raises:
        ValueError: if it is not known statically.
    """
    size = x.shape[1:].num_elements()
    if size is None:
        raise ValueError(f"log_det: received x of shape {x.shape}, expected known event dimensions. Set its shape.")
    return size
