"""Loops over the stacked weights of a `Repeat`: forward, and forward with stored activations for the gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.eager import record

from inntf.compose.lost_losses import warn_of_lost_losses
from inntf.compose.packing import Packing
from inntf.compose.stacking import Template
from inntf.core.straight_line import is_straight_line
from inntf.core.vjp import Gradients


class Scan:
    """`n` blocks in one direction.

    Args:
        template: the block and its stacks.
        n: number of blocks.
        inverse: the last block first, each by its inverse.
        apart: read each weight by itself rather than from a copy of all, which takes less memory and more operations.
        values: forward without log-determinants, which are zero then.
    """

    def __init__(self, template: Template, n: int, inverse: bool, apart: bool = False, values: bool = False):
        block = template.block
        self.template, self.n, self.inverse = template, n, inverse
        self.apply: Callable[..., tuple[tf.Tensor, tf.Tensor]] = (
            block.inverse_and_log_det if inverse else block.forward_and_log_det
        )
        if values:
            self.apply = lambda value, condition: (block.value(value, condition), no_log_det(value))
        self.backprop = block.inverse_backprop if inverse else block.forward_backprop
        states = set(template.states())
        trained = [s.trainable and keras.backend.is_float_dtype(s.dtype) for s in template.stacks]
        self.packing = Packing(template.variables, trained, [j in states for j in range(len(trained))], apart)
        self.weights = [g for g, role in enumerate(self.packing.roles) if role == "weights"]
        self.states = [g for g, role in enumerate(self.packing.roles) if role == "states"]
        self.updated: set[int] = set()

    def index(self, position: Any) -> Any:
        """The block at a position of the loop."""
        return self.n - 1 - position if self.inverse else position

    def packed(self) -> list[tf.Tensor]:
        """The stacks as matrices, one a group."""
        return self.packing.pack([tf.convert_to_tensor(stack) for stack in self.template.stacks], self.n)

    def step(
        self, value: tf.Tensor, condition: tf.Tensor | None, slices: list[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """One block: result, log-determinant, and the rows of its states as they are afterwards."""
        variables = self.template.variables
        with self.template.scope(slices) as scope:
            before = dict(scope.state_mapping)
            out, log_det = self.apply(value, condition)
            now = [scope.get_current_value(v) for v in variables]
        warn_of_lost_losses(scope, self.template.block.name)
        self.updated.update(g for g in self.states for j in self.packing.groups[g] if now[j] is not before[id(variables[j])])
        out.set_shape(value.shape)
        return out, log_det, [self.packing.row(g, now) for g in self.states]

    def step_back(
        self,
        backprop: Callable[..., tuple],
        value: tf.Tensor,
        d_value: tf.Tensor,
        d_log_det: tf.Tensor,
        condition: tf.Tensor | None,
        slices: list[tf.Tensor],
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None, list[tf.Tensor]]:
        """One block backwards: its input, the gradient there, that of the condition, and rows of those of its weights."""
        wanted = [j for g in self.weights for j in self.packing.groups[g]]
        extra = [] if condition is None else [condition]
        with self.template.scope(slices):
            at, d_at, grads = backprop(value, d_value, d_log_det, condition, [*extra, *(slices[j] for j in wanted)])
        at.set_shape(value.shape)
        d_at.set_shape(value.shape)
        by_variable: Gradients = [None] * len(slices)
        for j, grad in zip(wanted, grads[len(extra) :], strict=True):
            by_variable[j] = grad
        return at, d_at, grads[0] if extra else None, [self.packing.row(g, by_variable) for g in self.weights]

    def keep(self, states: list[tf.Tensor]) -> None:
        """Assign what layers have updated, from matrices in the order of the groups of states."""
        for g, matrix in zip(self.states, states, strict=True):
            if g in self.updated:
                for j, stack in self.packing.unstack(g, matrix).items():
                    self.template.stacks[j].assign(stack)

    def arrays(self, groups: list[int], size: int | None = None) -> list[tf.TensorArray]:
        """Empty arrays for rows of these groups."""
        size = self.n if size is None else size
        return [tf.TensorArray(self.packing.dtypes[g], size, element_shape=[self.packing.widths[g]]) for g in groups]


def stored(scan: Scan, value: tf.Tensor, condition: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
    """Apply the blocks in order; TensorFlow differentiates the loop from what it stores."""
    if _within_vectorized_map() or is_straight_line():
        return _unrolled(scan, value, condition)
    # Arrays, not gathers: the gradient of a read adds one row, that of a gather a whole matrix, in every iteration.
    arrays = [
        tf.TensorArray(m.dtype, scan.n, element_shape=m.shape[1:], clear_after_read=False).unstack(m) for m in scan.packed()
    ]

    def body(k: tf.Tensor, value: tf.Tensor, total: tf.Tensor, news: list[tf.TensorArray]) -> tuple:
        index = scan.index(k)
        out, log_det, rows = scan.step(value, condition, scan.packing.unpack([array.read(index) for array in arrays]))
        return k + 1, out, total + log_det, [array.write(index, row) for array, row in zip(news, rows, strict=True)]

    start = (tf.constant(0), value, no_log_det(value), scan.arrays(scan.states))
    _, value, total, news = tf.while_loop(lambda k, *_: k < scan.n, body, start, maximum_iterations=scan.n)
    scan.keep([array.stack() if g in scan.updated else None for g, array in zip(scan.states, news, strict=True)])
    return value, total


def _within_vectorized_map() -> bool:
    # TensorFlow cannot vectorize second derivatives of a loop: the map would fail.  Only where something is differentiated.
    return "loop_body" in tf.get_current_name_scope().split("/") and record.could_possibly_record()


def _unrolled(scan: Scan, value: tf.Tensor, condition: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
    """The same blocks one after the other."""
    matrices, total = scan.packed(), no_log_det(value)
    news: list[list[tf.Tensor]] = [[None] * scan.n for _ in scan.states]
    for k in range(scan.n):
        value, log_det, rows = scan.step(value, condition, scan.packing.unpack([m[scan.index(k)] for m in matrices]))
        total += log_det
        for new, row in zip(news, rows, strict=True):
            new[scan.index(k)] = row
    scan.keep([tf.stack(new) if g in scan.updated else None for g, new in zip(scan.states, news, strict=True)])
    return value, total


def no_log_det(value: tf.Tensor) -> tf.Tensor:
    """Zeros to add log-determinants to, `(batch,)`."""
    return tf.zeros(tf.shape(value)[:1], value.dtype if value.dtype.size >= 4 else tf.float32)
