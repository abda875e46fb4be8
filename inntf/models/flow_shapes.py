"""The shapes of a flow's data, latents and base, and whether they fit each other."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from inntf.core import Block
from inntf.core.errors import explain
from inntf.core.shapes import Shape, compatible, static


def standard_normal(shape: Shape, dtype: Any) -> tfd.Distribution:
    """The standard normal on events of a shape."""
    zeros = tf.zeros(shape, dtype)
    return tfd.Independent(tfd.Normal(zeros, tf.ones_like(zeros)), len(shape), name="standard_normal")


def check_base(name: str, base: Any) -> None:
    """A base must be a distribution over vectors or images."""
    if not isinstance(base, tfd.Distribution):
        received, expected = f"a base of type {type(base).__name__}", "a TFP distribution"
        remedy = "Leave base out for the standard normal."
        raise TypeError(explain(name, received=received, expected=expected, remedy=remedy))
    if not isinstance(base.event_shape, tf.TensorShape) or not isinstance(base.dtype, tf.DType):
        received, expected = f"a base over several events, {base.event_shape}", "one over vectors or images"
        remedy = "tfd.Blockwise makes one vector of several distributions."
        raise TypeError(explain(name, received=received, expected=expected, remedy=remedy))
    if not base.event_shape.rank:
        received = f"a base over events of shape {base.event_shape}"
        remedy = "Wrap it in tfd.Independent(base, 1), or leave base out for the standard normal."
        raise ValueError(explain(name, received=received, expected="one over vectors or images", remedy=remedy))


def check_built_for(name: str, block: Block, event_shape: Shape) -> None:
    """A built block must have been built for the event shape that is asked for."""
    if block.built and block.event_shape is not None and not compatible(event_shape, block.event_shape):
        received, expected = f"event_shape={event_shape}", f"{block.event_shape}, for which the block was built"
        raise ValueError(explain(name, received=received, expected=expected, remedy="Leave event_shape out."))


def data_shape(name: str, block: Block, base: tfd.Distribution) -> Shape:
    """The shape of one `x`; the base must be over the block's latents."""
    if block.built and block.event_shape is not None:
        latent = static(block._forward_event_shape(tf.TensorShape(block.event_shape)))
        if static(base.event_shape) != latent:
            raise ValueError(
                explain(
                    name,
                    received=f"a base over events of shape {static(base.event_shape)}",
                    expected=f"{latent}, the shape of the block's latents",
                    remedy="Wrap it in tfd.Independent, or leave base out for the standard normal.",
                )
            )
        return block.event_shape
    return static(block._inverse_event_shape(base.event_shape))


def check_dtype(name: str, block: Block, base: tfd.Distribution) -> None:
    """The base must be over the numbers that the block makes."""
    own = tf.as_dtype(block.variable_dtype)
    if block.built and not block.takes_any_dtype and base.dtype.is_floating and base.dtype != own:
        received, expected = f"a base over {base.dtype.name}", f"{own.name}, the dtype of the block"
        remedy = f"Make the block with dtype='{base.dtype.name}', or the base of {own.name} parameters."
        raise TypeError(explain(name, received=received, expected=expected, remedy=remedy))


def check_event(name: str, x: tf.Tensor, shape: Shape) -> None:
    """Values must end in the event shape of the flow."""
    rank, ndims = x.shape.rank, len(shape)
    got = None if rank is None or rank < ndims else static(x.shape[rank - ndims :])
    if got is None or not compatible(got, shape):
        raise ValueError(
            explain(
                name,
                received=f"values of shape {x.shape}",
                expected=f"(..., {', '.join('any' if n is None else str(n) for n in shape)})",
                remedy="A flow is the density of one event shape, fixed where it is made.",
            )
        )
