"""One step backwards through a map whose input is not stored but recomputed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common import global_state
from keras.src.backend.common.stateless_scope import get_stateless_scope

Gradients = list[tf.Tensor | None]


def recomputed_vjp(
    function: Callable,
    value: tf.Tensor,
    d_out: tf.Tensor,
    d_log_det: tf.Tensor,
    condition: tf.Tensor | None,
    sources: Sequence[tf.Tensor],
) -> tuple[tf.Tensor, Gradients]:
    """Vector-Jacobian product of `out, log_det = function(value, condition)`.

    Args:
        function: a `forward_and_log_det` or `inverse_and_log_det`.
        value: where, `(batch, *event)`.
        d_out: gradient with respect to the value returned.
        d_log_det: gradient with respect to the log-determinant returned.
        condition: passed to the function.
        sources: further tensors to differentiate by: the condition, and what stands for the weights.

    Returns:
        The gradients by `value` and by `sources`, `None` where a source is not used.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([value, *sources])
        out, log_det = function(value, condition)
    d_value, *d_sources = tape.gradient([out, log_det], [value, *sources], output_gradients=[d_out, d_log_det])
    return tf.zeros_like(value) if d_value is None else d_value, d_sources


def recomputed(function: Callable, value: tf.Tensor, condition: tf.Tensor | None) -> tf.Tensor:
    """`function(value, condition)` without gradients, and without what layers update: the next call draws the same again."""
    outer = get_stateless_scope()
    if outer is None:
        return tf.stop_gradient(function(value, condition))
    with keras.StatelessScope(initialize_variables=False) as scope:
        scope.state_mapping = dict(outer.state_mapping)
        return tf.stop_gradient(function(value, condition))


def added(a: Gradients, b: Gradients) -> Gradients:
    """Sum of two lists of gradients in which `None` is zero."""
    return [y if x is None else x if y is None else x + y for x, y in zip(a, b, strict=True)]


def call_context() -> Any:
    """What Keras knows of the call that is running: above all, whether it trains."""
    return global_state.get_global_attribute("current_call_ctx")


@contextlib.contextmanager
def within(context: Any) -> Iterator[None]:
    """Let layers compute as in that call, so that dropout and normalizations do the same again."""
    before = call_context()
    global_state.set_global_attribute("current_call_ctx", context)
    try:
        yield
    finally:
        global_state.set_global_attribute("current_call_ctx", before)
