"""Conditions as users give them to a flow: their shape, and what its network makes of them."""

from __future__ import annotations

from typing import Any, NoReturn

import keras
import tensorflow as tf

from inntf.core import Block, checks, shapes
from inntf.core.errors import explain
from inntf.core.freezing import keep_frozen
from inntf.core.shapes import Shape


class Conditions:
    """What a flow knows of its conditions; a plain object, out of sight of trackers.

    Args:
        block: the flow's block.
        network: the flow's embedding of conditions, if any.
        shape: of one condition, where it was declared.
        name: of the flow, for messages.
    """

    def __init__(self, block: Block, network: keras.layers.Layer | None, shape: Shape | None, name: str):
        self.block, self.network, self.name = block, network, name
        self._shape = shape

    @property
    def shape(self) -> Shape | None:
        """Shape of one condition as the user gives it, `None` where there is none or none was seen yet."""
        return self._shape if self._shape is not None or self.network is not None else self.block.condition_shape

    @property
    def embedded_shape(self) -> Shape | None:
        """Shape of what the block gets, where conditions have a known shape."""
        if self._shape is None or self.network is None:
            return self._shape
        with tf.init_scope():
            example: Any = tf.zeros([1, *shapes.closed(self._shape)], self.block.variable_dtype)
            embedded = shapes.static(self.network(example).shape[1:])
        keep_frozen(self.network)
        return embedded

    def tensor(self, condition: Any) -> tf.Tensor:
        """A tensor; numbers that are no tensors take the block's dtype, or stay integers for a network."""
        if tf.is_tensor(condition) or isinstance(condition, tf.Variable | keras.Variable):
            return tf.convert_to_tensor(condition)
        if self.network is None:
            return checks.as_tensor(self.block, condition)
        value = tf.convert_to_tensor(condition)
        return value if value.dtype.is_integer else checks.as_tensor(self.block, condition)

    def event_ndims(self, condition: tf.Tensor, batch_ndims: int | None = None) -> int:
        """Rank of one condition: that of its declared shape, or a guess where none was.

        Raises:
            ValueError: for a condition of another shape than the declared one, or where none is wanted.
        """
        if self.block.built and self.block.condition_shape is None:
            self._refuse("a condition", "none", "The flow was made without: pass condition_shape=(dim,) where you make it.")
        rank, shape = condition.shape.rank, self.shape
        if shape is None:
            if batch_ndims is not None and rank is not None and rank - batch_ndims in (1, 3):
                return rank - batch_ndims
            if rank == 1 and condition.dtype.is_integer and self.network is not None:
                return 0  # the numbers of classes
            return 1 if rank is not None and rank <= 2 else 3
        got = None if rank is None or rank < len(shape) else shapes.static(condition.shape[rank - len(shape) :])
        if got is None or not shapes.compatible(got, shape):
            self._refuse(
                f"a condition of shape {condition.shape}",
                f"(..., {', '.join('any' if n is None else str(n) for n in shape)})",
                "Pass the kind of condition that the flow was made with.",
            )
        return len(shape)

    def embed(self, condition: tf.Tensor, ndims: int) -> tf.Tensor:
        """What the block gets: the condition, or the network's output, with the same leading dimensions."""
        if self.network is None:
            return condition
        one = condition.shape.rank != ndims + 1
        out = self.network(shapes.flatten_leading(condition, ndims) if one else condition)
        if self._shape is None:
            self._shape = shapes.static(condition.shape[condition.shape.rank - ndims :])
        return shapes.restore_leading(out, shapes.leading_shape(condition, ndims)) if one else out

    def expected(self) -> bool:
        """Whether the flow does not do without one."""
        return self.network is not None or (self.block.built and self.block.condition_shape is not None)

    def missing(self) -> NoReturn:
        """Complain of a condition that is not there."""
        shape = self.shape
        words = "a condition" if shape is None else f"a condition of shape (..., {', '.join(map(str, shape))})"
        self._refuse("no condition", words, "The flow was made with one: pass condition=...")

    def fitting(self, condition: tf.Tensor, ndims: int, lead: Any) -> None:
        """Refuse a batch of conditions that is neither one for each value nor one for all."""
        checks.condition_batch(self, condition, ndims, lead)

    def _refuse(self, received: str, expected: str, remedy: str) -> NoReturn:
        raise ValueError(explain(self.name, received=received, expected=expected, remedy=remedy))
