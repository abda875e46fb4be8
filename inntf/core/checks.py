"""Every check of rank, width, dtype and condition, made once where a method is entered, with a message that helps."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core.errors import explain
from inntf.core.refusals import refusals_are_marked
from inntf.core.shapes import Shape, compatible, static


def as_tensor(block: Any, value: Any) -> tf.Tensor:
    """A tensor from what the user gave; arrays and numbers take the block's dtype, tensors keep theirs.

    Raises:
        TypeError: for a symbolic Keras tensor or something that is no array.
    """
    if isinstance(value, tf.Tensor):
        return value
    if isinstance(value, keras.KerasTensor):
        raise TypeError(
            explain(
                block.name,
                received="a symbolic KerasTensor",
                expected="a tensor or an array",
                remedy="Symbolic tensors go through the Keras call: block(x).",
            )
        )
    if isinstance(value, keras.Variable | tf.Variable):
        return tf.convert_to_tensor(value)
    try:
        array = np.asarray(value) if not tf.is_tensor(value) else value
        if isinstance(array, np.ndarray) and array.dtype.kind in "fiub":
            return tf.convert_to_tensor(array.astype(tf.as_dtype(block.variable_dtype).as_numpy_dtype))
        return tf.convert_to_tensor(value)
    except (TypeError, ValueError) as error:
        raise TypeError(
            explain(
                block.name,
                received=f"{type(value).__name__}",
                expected="a tensor or a numeric array",
                remedy="Convert it with tf.convert_to_tensor.",
            )
        ) from error


def dtype(block: Any, value: tf.Tensor) -> tf.Tensor:
    """Bring the value to the block's dtype where nothing is lost; refuse where something would be.

    Raises:
        TypeError: if the value is wider than the block's weights.
    """
    own = tf.as_dtype(block.variable_dtype)
    if value.dtype == own:
        return value
    if not value.dtype.is_floating:
        if value.dtype.is_complex or value.dtype == tf.string:
            raise TypeError(explain(block.name, received=value.dtype.name, expected=own.name, remedy="Pass real numbers."))
        return tf.cast(value, own)
    if block.takes_any_dtype:
        return value
    if value.dtype.size > own.size:
        raise TypeError(
            explain(
                block.name,
                received=f"a {value.dtype.name} tensor",
                expected=own.name,
                remedy=f"Cast it, or make the block with dtype='{value.dtype.name}' to compute in that precision.",
            )
        )
    return tf.cast(value, own)


def event_ndims(block: Any, ndims: int | None) -> int | None:
    """Validate a declared event rank.

    Raises:
        ValueError: unless 1 or 3 (or what the block supports).
    """
    allowed = block.allowed_event_ndims
    if ndims is not None and ndims not in allowed:
        names = {1: "vectors (batch, dim)", 2: "sequences (batch, length, dim)", 3: "images (batch, height, width, channels)"}
        raise ValueError(
            explain(
                block.name,
                received=f"events of rank {ndims}",
                expected=" or ".join(names[a] for a in allowed),
                remedy="Reshape the input, or choose a block made for this rank.",
            )
        )
    return ndims


def infer_event_ndims(block: Any, rank: int | None) -> int:
    """Event rank from the rank of the first input: up to 2 is a vector, from 4 on an image.

    Raises:
        ValueError: for a scalar, an unknown rank, or rank 3, which may be either.
    """
    allowed = block.allowed_event_ndims
    if not rank:
        raise ValueError(
            explain(
                block.name,
                received="a scalar" if rank == 0 else "a tensor of unknown rank",
                expected="(batch, dim) or (batch, height, width, channels)",
                remedy="Reshape the input, or set event_ndims and fix the rank.",
            )
        )
    if len(allowed) == 1:
        return allowed[0]
    if rank == 3:
        raise ValueError(
            explain(
                block.name,
                received="a first input of rank 3",
                expected="(batch, dim) or (batch, height, width, channels)",
                remedy="It may be one image or vectors in two batch dimensions: say which by event_ndims=3 or event_ndims=1.",
            )
        )
    ndims = 1 if rank <= 2 else 3
    event_ndims(block, ndims)
    return ndims


def agreed_event_ndims(block: Any, declared: int | None, given: int) -> int:
    """The declared event rank, or the given one if none was declared.

    Raises:
        ValueError: if they differ.
    """
    if declared is not None and declared != given:
        raise ValueError(
            explain(
                block.name,
                received=f"an event shape of rank {given}",
                expected=f"rank {declared}, as declared by event_ndims",
                remedy="Change event_ndims or the input.",
            )
        )
    event_ndims(block, given)
    return given


def enough_rank(block: Any, value: tf.Tensor, ndims: int) -> None:
    """The value must have at least the event's dimensions.

    Raises:
        ValueError: if not.
    """
    if value.shape.rank is None or value.shape.rank < ndims:
        raise ValueError(
            explain(
                block.name,
                received=f"shape {value.shape}",
                expected=f"at least rank {ndims} ({'batch, ' if ndims else ''}"
                + ("dim)" if ndims == 1 else "height, width, channels)" if ndims == 3 else "...)"),
                remedy="Add the missing dimensions, for example with x[None] or tf.reshape.",
            )
        )


def event(block: Any, value: tf.Tensor, shape: Shape, forward: bool) -> None:
    """The trailing dimensions must be those the block was built for.

    Raises:
        ValueError: if they are not.
    """
    enough_rank(block, value, len(shape))
    got = static(value.shape[value.shape.rank - len(shape) :])
    if not compatible(got, shape):
        raise ValueError(
            explain(
                f"{block.name} ({'forward' if forward else 'inverse'})",
                received=f"shape {static(value.shape)}",
                expected=f"(..., {', '.join('any' if s is None else str(s) for s in shape)})",
                remedy="The block was built for that event shape; make a new block for another.",
            )
        )


def condition_batch_ndims(block: Any, value: tf.Tensor, batch_ndims: int) -> int:
    """How many leading dimensions of a condition are batch dimensions, at the first call.

    A condition is a vector or an image; its event rank is whichever of 1 and 3 fits the batch rank of the value.

    Raises:
        ValueError: if neither fits.
    """
    rank = value.shape.rank
    for ndims in (1, 3):
        if rank is not None and rank - ndims == batch_ndims:
            return rank - ndims
    for ndims in (1, 3):
        if rank is not None and 0 <= rank - ndims <= batch_ndims:
            return rank - ndims
    raise ValueError(
        explain(
            block.name,
            received=f"a condition of shape {value.shape}",
            expected="(batch, dim) or (batch, height, width, channels), with the batch of the value",
            remedy="Reshape the condition.",
        )
    )


def condition(block: Any, value: tf.Tensor, shape: Shape) -> None:
    """The condition must have the event shape that the block was built with.

    Raises:
        ValueError: if not.
    """
    rank = value.shape.rank
    got = None if rank is None or rank < len(shape) else static(value.shape[rank - len(shape) :])
    if got is None or not compatible(got, shape):
        raise ValueError(
            explain(
                block.name,
                received=f"a condition of shape {value.shape}",
                expected=f"(..., {', '.join('any' if s is None else str(s) for s in shape)})",
                remedy="Pass the kind of condition the block was built with.",
            )
        )


def condition_batch(block: Any, value: tf.Tensor, event_ndims: int, lead: Any) -> None:
    """The leading dimensions of a condition must broadcast to those of the value, where both are known.

    Raises:
        ValueError: if they do not.
    """
    own = static(value.shape[: value.shape.rank - event_ndims])
    if tf.is_tensor(lead):
        return
    pairs = zip(reversed(own), reversed(lead), strict=False)
    if len(own) <= len(lead) and all(n in (None, 1, m) for n, m in pairs):
        return
    raise ValueError(
        explain(
            block.name,
            received=f"a condition of shape {tuple(value.shape)} for a value with the leading dimensions {tuple(lead)}",
            expected="a condition for each value, or one for all",
            remedy="Repeat or cut the condition to the batch of the value.",
        )
    )


def missing_condition(block: Any) -> None:
    """Complain of a condition that is not there.

    Raises:
        ValueError: always.
    """
    raise ValueError(
        explain(
            block.name,
            received="no condition",
            expected=f"a condition of shape (..., {', '.join(map(str, block.condition_shape))})",
            remedy="The block was built with one: pass condition=... (through TFP: bijector_kwargs={'condition': ...}).",
        )
    )


def surprising_condition(block: Any) -> None:
    """Complain of a condition that the block was not built for.

    Raises:
        ValueError: always.
    """
    raise ValueError(
        explain(
            block.name,
            received="a condition",
            expected="none",
            remedy="The block was built without a condition; pass one at the first call, or to ensure_built.",
        )
    )


def finite(block: Any, value: tf.Tensor, what: str) -> None:
    """With `validate_args`, refuse NaN and infinity.

    Raises:
        tf.errors.InvalidArgumentError: if a value is not finite.
    """
    if block.validate_args and not refusals_are_marked():
        tf.debugging.check_numerics(value, f"{block.name}: the {what} holds NaN or infinity. Look at the data and the scales.")
