"""What every call of a block's methods passes, once, on the way in and out: the wrapping of the methods."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from inntf.core import checks, initialization, shapes
from inntf.core.checkpointing import load_waiting
from inntf.core.empty_batch import at_least_one_row
from inntf.core.errors import explain
from inntf.core.returned_pair import checked_pair


def guarded_pair(function: Callable, forward: bool) -> Callable:
    """Wrap a pair method: checks, lazy building, one batch dimension inside, `log_det` of the batch shape outside."""
    if getattr(function, "_is_wrapped", False):
        return function

    @tf.autograph.experimental.do_not_convert  # blocks are plain TensorFlow; converting their source takes seconds
    @functools.wraps(function)
    def through(self: Any, value: Any, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        value = checks.as_tensor(self, value)
        condition = checks.as_tensor(self, condition) if condition is not None and self.uses_condition else None
        if not self.built:
            self._build_from(value, condition, forward)
        value = checks.dtype(self, value)
        ndims = self._forward_min_event_ndims if forward else self._inverse_min_event_ndims
        checks.event(self, value, self._x_event_shape if forward else self._z_event_shape, forward)
        checks.finite(self, value, "input")
        lead = None if value.shape.rank == ndims + 1 else shapes.leading_shape(value, ndims)
        if condition is not None:
            condition = _one_batch_condition(self, value, condition, ndims)
        elif self._condition_event_shape is not None:
            checks.missing_condition(self)
        flat = value if lead is None else shapes.flatten_leading(value, ndims)
        out, log_det = checked_pair(self, function, _evaluate(function, self, flat, condition), forward)
        if load_waiting(self):  # of a checkpoint restored before: layers that this call has built
            out, log_det = _evaluate(function, self, flat, condition)
        checks.finite(self, out, "output")
        log_det = _per_sample(log_det, out)
        if lead is None:
            return out, log_det
        return shapes.restore_leading(out, lead), shapes.restore_leading(log_det, lead)

    through._is_wrapped = True
    return through


def guarded_init(function: Callable) -> Callable:
    """Wrap an `__init__`: a block whose constructor never reached the base class' is refused where it is made."""

    @functools.wraps(function)
    def through(self: Any, *args: Any, **kwargs: Any) -> None:
        function(self, *args, **kwargs)
        if type(self).__init__ is through and "_event_ndims" not in self.__dict__:  # the outermost one has ended
            raise TypeError(
                explain(
                    f"{type(self).__name__}.__init__",
                    received="a constructor that ends without super().__init__()",
                    expected="a block set up by the base class",
                    remedy="Call super().__init__(**kwargs) in the first line of __init__.",
                )
            )

    # Keras reads it without following wrappers.
    through.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return through


def guarded_initialize(function: Callable) -> Callable:
    """Wrap an `initialize`: the same checks; it returns a value and no log-determinant."""

    def pair(self: Any, x: tf.Tensor, condition: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        return function(self, x, condition), tf.zeros([], x.dtype)

    # From an empty batch there is nothing to learn: it must be told, not replaced.
    pair._initializes = True  # type: ignore[attr-defined]
    through = guarded_pair(pair, forward=True)

    @functools.wraps(function)
    def initialize(self: Any, x: Any, condition: Any = None) -> tf.Tensor:
        with initialization.under_way():
            return through(self, x, condition)[0]

    return initialize


def _evaluate(function: Callable, block: Any, flat: tf.Tensor, condition: tf.Tensor | None) -> Any:
    scope = keras.src.backend.get_autocast_scope()
    if scope is not None and scope.dtype is not None:
        # An outer mixed-precision layer must not hand this block's weights out in 16 bit.
        with keras.src.backend.AutocastScope(None):
            return _evaluate(function, block, flat, condition)
    known = flat.shape[0]
    # Some operations refuse a batch known to be empty, and oneDNN convolutions get the shape of an empty one wrong.
    empty = known == 0 or (known is None and _may_convolve(flat, condition))
    if empty and not getattr(function, "_initializes", False):
        out, log_det = function(block, at_least_one_row(flat), None if condition is None else at_least_one_row(condition))
        size = 0 if known == 0 else tf.shape(flat)[0]
        return out[:size], _per_sample(log_det, out)[:size]
    return function(block, flat, condition)


def _may_convolve(flat: tf.Tensor, condition: tf.Tensor | None) -> bool:
    return flat.shape.rank > 2 or (condition is not None and condition.shape.rank > 2)


def _per_sample(log_det: Any, out: tf.Tensor) -> tf.Tensor:
    dtype = out.dtype if out.dtype.size >= 4 else tf.float32
    log_det = tf.cast(tf.convert_to_tensor(log_det), dtype)
    if log_det.shape.rank == 1 and (log_det.shape[0] == out.shape[0] or log_det.shape[0] is None):
        return log_det
    # Added to zeros: the gradient of a broadcast_to in a loop needs a shape that XLA does not know there.
    return log_det + tf.zeros(tf.shape(out)[:1], dtype)


def _one_batch_condition(block: Any, value: tf.Tensor, condition: tf.Tensor, ndims: int) -> tf.Tensor:
    shape = block._condition_event_shape
    if shape is None:
        checks.surprising_condition(block)
    checks.condition(block, condition, shape)
    condition = checks.dtype(block, condition)
    lead = shapes.leading_shape(value, ndims)
    checks.condition_batch(block, condition, len(shape), lead)
    return shapes.broadcast_leading(condition, len(shape), lead)


def noting_shape(build: Callable) -> Callable:
    """Wrap a `build`: note the event shape before it, mark the block built after it."""

    @functools.wraps(build)
    def noting(self: Any, input_shape: Any, *args: Any, **kwargs: Any) -> None:
        self._note_shape(input_shape)
        build(self, input_shape, *args, **kwargs)
        self.built = True

    noting.__signature__ = inspect.signature(build)  # type: ignore[attr-defined]
    return noting
