"""Jacobian products of a `Repeat`: loops that hand a vector from block to block, and are never differentiated."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.python.framework.func_graph import FuncGraph

from inntf.compose.scan import Scan
from inntf.core.jacobian_products import Points


def linearized_scan(scan: Scan, value: tf.Tensor, condition: tf.Tensor | None) -> tuple[tf.Tensor, Points]:
    """The last block's image, and the blocks' points stacked in the order of application."""
    block, stacks = scan.template.block, _stacks(scan)

    def step(k: Any, value: tf.Tensor) -> tuple[tf.Tensor, Points]:
        with scan.template.scope(_row(stacks, scan.index(k))):
            out, points = block.linearize(value, condition, scan.inverse)
        out.set_shape(value.shape)
        return out, points

    # A first look, in a graph that is thrown away, tells what is kept: a loop must know beforehand what it carries.
    with FuncGraph("first_look").as_default():
        kept = step(0, tf.zeros_like(value))[1]
    arrays = [tf.TensorArray(point.dtype, scan.n, element_shape=point.shape) for point in tf.nest.flatten(kept)]

    def body(k: tf.Tensor, value: tf.Tensor, arrays: list[tf.TensorArray]) -> tuple:
        out, points = step(k, value)
        flat = tf.nest.flatten(points)
        return k + 1, out, [array.write(k, point) for array, point in zip(arrays, flat, strict=True)]

    start = (tf.constant(0), value, arrays)
    _, value, arrays = tf.while_loop(lambda k, *_: k < scan.n, body, start, maximum_iterations=scan.n)
    return value, tf.nest.pack_sequence_as(kept, [array.stack() for array in arrays])


def scanned_product(scan: Scan, points: Points, vector: tf.Tensor, condition: tf.Tensor | None, transposed: bool) -> tf.Tensor:
    """The product by all blocks' Jacobians, the last block first if `transposed`."""
    block, stacks = scan.template.block, _stacks(scan)

    def body(k: tf.Tensor, vector: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        position = scan.n - 1 - k if transposed else k
        point = tf.nest.pack_sequence_as(points, _row(tf.nest.flatten(points), position))
        with scan.template.scope(_row(stacks, scan.index(position))):
            out = block.jacobian_product(point, vector, condition, scan.inverse, transposed)
        out.set_shape(vector.shape)
        return k + 1, out

    start = (tf.constant(0), vector)
    return tf.while_loop(lambda k, _: k < scan.n, body, start, maximum_iterations=scan.n)[1]


def _row(stacks: list[tf.Tensor], k: Any) -> list[tf.Tensor]:
    """`stack[k]` of each stack, in one operation each: tracing is what takes long here."""
    begin = tf.reshape(k, [1])
    end, stride = begin + 1, tf.constant([1])
    return [tf.strided_slice(stack, begin, end, stride, shrink_axis_mask=1) for stack in stacks]


def _stacks(scan: Scan) -> list[tf.Tensor]:
    return [tf.convert_to_tensor(stack) for stack in scan.template.stacks]
