"""A function applied to every block of a `Repeat`, which are out of sight otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework.func_graph import FuncGraph

from inntf.compose.stacking import Template
from inntf.core import Block
from inntf.core.errors import explain


def for_each_block(repeat: Block, function: Callable[[Block], Any]) -> list[Any]:
    """Call `function(block)` once for each block of a `Repeat`, its weights in place; what it assigns to them is kept.

    Eagerly the function may use numpy; in a graph a loop runs over the blocks, so the graph holds one.

    Args:
        repeat: a built `Repeat` (its method `for_each_inner_block` is this function).
        function: of one block, which has the weights of each in turn; it must not make variables.

    Returns:
        What the function returned for each block; an empty list in a graph.

    Raises:
        ValueError: if the `Repeat` is not built.

    Source: inntf.

    Example:
        >>> from inntf.blocks import ActNorm
        >>> from inntf.compose import Repeat
        >>> repeat = Repeat(lambda: ActNorm(), 3).ensure_built((2,))
        >>> len(for_each_block(repeat, lambda block: block.lipschitz_bounds().forward))
        3
    """
    if not repeat.built:
        raise ValueError(explain("for_each_block", received="an unbuilt Repeat", expected="weights", remedy="Call it on data."))
    run = _one_by_one if tf.executing_eagerly() else _in_a_loop
    return run(repeat._template, repeat.n, function)


def _one_by_one(template: Template, n: int, function: Callable[[Block], Any]) -> list[Any]:
    results = []
    columns = [tf.unstack(tf.convert_to_tensor(stack)) for stack in template.stacks]
    changed: set[int] = set()
    for i in range(n):
        slices = [column[i] for column in columns]
        with template.scope(slices) as scope:
            results.append(function(template.block))
            now = [scope.get_current_value(v) for v in template.variables]
        for j, value in enumerate(now):
            if value is not slices[j]:
                columns[j][i] = _plain(value, template.variables[j])
                changed.add(j)
    for j in sorted(changed):
        template.stacks[j].assign(tf.stack(columns[j]))
    return results


def _in_a_loop(template: Template, n: int, function: Callable[[Block], Any]) -> list[Any]:
    stacks = [tf.convert_to_tensor(stack) for stack in template.stacks]

    def one(index: Any) -> list[tf.Tensor | None]:
        slices = [stack[index] for stack in stacks]
        with template.scope(slices) as scope:
            function(template.block)
            now = [scope.get_current_value(v) for v in template.variables]
        pairs = zip(now, slices, template.variables, strict=True)
        return [None if value is before else _plain(value, variable) for value, before, variable in pairs]

    # A first look, in a graph that is thrown away, tells what changes: a loop must know beforehand what it carries.
    with FuncGraph("first_look").as_default():
        changed = [j for j, value in enumerate(one(0)) if value is not None]
    arrays = [tf.TensorArray(stacks[j].dtype, n, element_shape=stacks[j].shape[1:]) for j in changed]

    def body(k: tf.Tensor, arrays: list[tf.TensorArray]) -> tuple[tf.Tensor, list[tf.TensorArray]]:
        values = one(k)
        return k + 1, [array.write(k, values[j]) for j, array in zip(changed, arrays, strict=True)]

    _, arrays = tf.while_loop(lambda k, _: k < n, body, (tf.constant(0), arrays), maximum_iterations=n)
    for j, array in zip(changed, arrays, strict=True):
        template.stacks[j].assign(array.stack())
    return []


def _plain(value: Any, variable: keras.Variable) -> tf.Tensor:
    return tf.cast(tf.convert_to_tensor(value), variable._dtype)
