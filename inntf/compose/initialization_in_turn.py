"""Data-dependent initialization of blocks of one make, each on what the ones before it make of the data."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from inntf.compose.stacking import Template
from inntf.core import initialization

# From so many blocks on a trace costs less than it saves.
_WORTH_A_TRACE = 16


def initialize_in_turn(template: Template, n: int, x: tf.Tensor, condition: tf.Tensor | None) -> tf.Tensor:
    """Initialize the `n` blocks behind a template, set its stacks, return what they make of the data.

    Many blocks run through one traced step.  Where that fails, or leads to what is not finite, they run eagerly: only then
    can a block say what is wrong with the data.
    """
    start = initialization.current().noise
    if n >= _WORTH_A_TRACE and tf.executing_eagerly() and not tf.distribute.has_strategy():
        try:
            out, columns = _in_turn(template, n, x, condition, _traced(template, x, condition))
        except Exception:
            columns = None
        if columns is not None and all(_finite(values) for values in (out, *columns)):
            return _kept(template, columns, out)
        initialization.current().noise = start
    out, columns = _in_turn(template, n, x, condition, lambda *arguments: _step(template, *arguments))
    return _kept(template, columns, out)


def _in_turn(
    template: Template, n: int, x: tf.Tensor, condition: tf.Tensor | None, step: Any
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    process = initialization.current()
    columns = [tf.unstack(tf.convert_to_tensor(stack)) for stack in template.stacks]
    for i in range(n):
        x, new, process.noise = step(x, condition, [column[i] for column in columns], tf.cast(process.noise, tf.float64))
        for column, value in zip(columns, new, strict=True):
            column[i] = value
    return x, [tf.stack(column) for column in columns]


def _step(
    template: Template, x: tf.Tensor, condition: tf.Tensor | None, slices: list[tf.Tensor], noise: tf.Tensor
) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor]:
    """One block: its output, its weights afterwards, and the noise that it hands on."""
    process = initialization.current()
    process.noise = noise
    with template.scope(slices) as scope:
        x = template.block.initialize(x, condition)
        new = [tf.convert_to_tensor(scope.get_current_value(variable)) for variable in template.variables]
    return x, new, tf.cast(process.noise, tf.float64)


def _traced(template: Template, x: tf.Tensor, condition: tf.Tensor | None) -> Any:
    process = initialization.current()
    noise = process.noise
    try:
        step = tf.function(lambda *arguments: _step(template, *arguments), autograph=False)
        slices = [tf.convert_to_tensor(stack)[0] for stack in template.stacks]
        step.get_concrete_function(x, condition, slices, tf.cast(noise, tf.float64))
    finally:
        process.noise = noise  # the trace has left a symbolic one
    return step


def _finite(values: tf.Tensor) -> bool:
    return not values.dtype.is_floating or bool(tf.reduce_all(tf.math.is_finite(values)))


def _kept(template: Template, columns: list[tf.Tensor], out: tf.Tensor) -> tf.Tensor:
    for stack, column in zip(template.stacks, columns, strict=True):
        stack.assign(column)
    return out
