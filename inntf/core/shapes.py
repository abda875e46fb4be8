"""Shapes of batches and events: any number of leading dimensions outside, exactly one inside a block."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from inntf.core.errors import explain

Shape = tuple[int | None, ...]
Sizes = tuple[int, ...]

_BUILD = "Build it for one, by ensure_built(event_shape), or give the size."


def built_shape(shape: Shape | None) -> Shape:
    """The shape of what is built.

    Raises:
        ValueError: if it is not.
    """
    if shape is None:
        raise ValueError(explain("inntf", received="a block that is not built", expected="its event shape", remedy=_BUILD))
    return shape


def known_sizes(shape: Shape | None) -> Sizes:
    """A shape without open sizes.

    Raises:
        ValueError: if it has some, or is that of a block that is not built.
    """
    sizes = tuple(size for size in built_shape(shape) if size is not None)
    if len(sizes) < len(built_shape(shape)):
        raise ValueError(explain("inntf", received=f"events of shape {shape}", expected="known sizes", remedy=_BUILD))
    return sizes


def last_size(shape: Shape) -> int:
    """The number of channels, or of entries of a vector, which has to be known.

    Raises:
        ValueError: if it is not.
    """
    return known_sizes(shape[-1:])[0]


def is_open(shape: Shape | None) -> bool:
    """Whether a size is not known."""
    return shape is None or None in shape


def static(shape: tf.TensorShape | tuple) -> Shape:
    """A shape as a tuple of integers and `None`."""
    return tuple(tf.TensorShape(shape).as_list())


def shape_tensor(function: Callable[[tf.TensorShape], tf.TensorShape], shape: tf.Tensor) -> tf.Tensor:
    """`function(shape)` of a shape that is a tensor, which must be known when the graph is made.

    Raises:
        NotImplementedError: if it is not.
    """
    known = tf.get_static_value(shape)
    if known is None:
        raise NotImplementedError("inntf blocks need a statically known event shape; give the block a fixed input shape.")
    return tf.constant(static(function(tf.TensorShape(np.asarray(known).tolist()))), tf.int32)


def compatible(a: Shape, b: Shape) -> bool:
    """Whether two shapes can be one: of equal rank, and equal where both sizes are known."""
    return len(a) == len(b) and all(n is None or m is None or n == m for n, m in zip(a, b, strict=True))


def closed(shape: Shape, size: int = 16) -> tuple[int, ...]:
    """The shape with a number for each size that is open, for examples."""
    return tuple(size if n is None else n for n in shape)


def leading_shape(x: tf.Tensor, event_ndims: int) -> tf.Tensor | Shape:
    """Shape of the batch dimensions: a tuple where all are known, otherwise an int32 tensor."""
    lead = x.shape[: x.shape.rank - event_ndims]
    return static(lead) if lead.is_fully_defined() else tf.shape(x)[: x.shape.rank - event_ndims]


def flatten_leading(x: tf.Tensor, event_ndims: int) -> tf.Tensor:
    """Merge all leading dimensions into one; `(2, 3, 4)` with one event dimension becomes `(6, 4)`."""
    if x.shape.rank == event_ndims + 1:
        return x
    lead = leading_shape(x, event_ndims)
    # The product is written out: reshape cannot infer -1 for an empty batch.
    size = tf.reduce_prod(lead) if tf.is_tensor(lead) else math.prod(known_sizes(lead))
    event = tf.shape(x)[x.shape.rank - event_ndims :]
    known = x.shape[x.shape.rank - event_ndims :]
    flat = tf.reshape(x, tf.concat([[size], event], 0))
    return tf.ensure_shape(flat, tf.TensorShape([None if tf.is_tensor(size) else size]).concatenate(known))


def restore_leading(flat: tf.Tensor, lead: tf.Tensor | Shape) -> tf.Tensor:
    """Undo `flatten_leading`: replace the single batch dimension by the dimensions `lead`."""
    event = tf.shape(flat)[1:]
    if tf.is_tensor(lead):
        return tf.ensure_shape(
            tf.reshape(flat, tf.concat([lead, event], 0)),
            tf.TensorShape([None] * lead.shape[0]).concatenate(flat.shape[1:]),  # type: ignore[union-attr]
        )
    out = tf.reshape(flat, tf.concat([tf.constant(lead, tf.int32), event], 0))
    return tf.ensure_shape(out, tf.TensorShape(lead).concatenate(flat.shape[1:]))


def broadcast_leading(condition: tf.Tensor, event_ndims: int, lead: tf.Tensor | Shape) -> tf.Tensor:
    """Broadcast the leading dimensions of a condition against those of the value, then merge them."""
    own = condition.shape[: condition.shape.rank - event_ndims]
    if not tf.is_tensor(lead) and own.is_fully_defined() and static(own) == lead:
        return flatten_leading(condition, event_ndims)
    target = tf.concat([tf.cast(lead, tf.int32), tf.shape(condition)[condition.shape.rank - event_ndims :]], 0)
    rank = (lead.shape[0] if tf.is_tensor(lead) else len(lead)) + event_ndims  # type: ignore[union-attr]
    wide = tf.broadcast_to(condition, target)
    known = condition.shape[condition.shape.rank - event_ndims :]
    dims = [None] * (rank - event_ndims) if tf.is_tensor(lead) else list(lead)
    return flatten_leading(tf.ensure_shape(wide, tf.TensorShape(dims).concatenate(known)), event_ndims)


def sum_event(values: tf.Tensor | None, like: tf.Tensor) -> tf.Tensor:
    """Sum over all but the batch dimension, in float32 at least; zero for `None`."""
    if values is None:
        return tf.zeros([], like.dtype)
    if values.dtype.size < 4:
        values = tf.cast(values, tf.float32)
    return tf.reduce_sum(values, list(range(1, values.shape.rank)))


def pixels(x: tf.Tensor) -> tf.Tensor:
    """Number of positions that share a channel's weights: `height * width` of an image, 1 for a vector, as a scalar."""
    shape = x.shape[1:-1]
    if shape.is_fully_defined():
        return tf.constant(shape.num_elements(), x.dtype)
    return tf.cast(tf.reduce_prod(tf.shape(x)[1:-1]), x.dtype)
