"""The same block in double precision."""

from __future__ import annotations

import weakref
from typing import Any

import keras

from inntf.core import Block
from inntf.core.errors import explain


def float64_copy(block: Block) -> Block:
    """A copy of a built block, its networks included, that computes in `float64` with the same weights.

    What differs between the two is rounding alone: it tells an ill-conditioned map from a badly rounded one.

    Args:
        block: a built block, all of whose parts can be serialized.

    Returns:
        An independent block; a block that is float64 already is returned as it is.

    Raises:
        ValueError: if the block is not built, or a part cannot be rebuilt in float64.

    Source: inntf.

    Example:
        >>> from inntf.blocks import ActNorm
        >>> float64_copy(ActNorm().ensure_built((3,))).variable_dtype
        'float64'
    """
    if not block.built:
        raise ValueError(
            explain(
                "float64_copy",
                received=f"{block.name}, which is not built",
                expected="a built block",
                remedy="Call it once, or ensure_built.",
            )
        )
    if block.variable_dtype == "float64" and all(v.dtype == "float64" for v in block.trainable_variables):
        return block
    try:
        wide = keras.saving.deserialize_keras_object(_widened(keras.saving.serialize_keras_object(block)))
        wide.ensure_built(block.event_shape, block.condition_shape)
        wide.set_weights(block.get_weights())
    except Exception as error:  # whatever a foreign layer raises, the user needs to know which block it was
        raise ValueError(
            explain(
                "float64_copy",
                received=f"{block.name}, which cannot be rebuilt ({type(error).__name__}: {error})",
                expected="a block of serializable parts",
                remedy="Give its networks get_config and register them; then it can be saved, too.",
            )
        ) from error
    return wide


def shared_float64_copy(block: Block) -> Block:
    """As `float64_copy`, but one copy per block, with the weights as they are now: for measuring again and again.

    A block whose configuration has changed gets a new copy.
    """
    known = _copies.get(block)
    if known is not None and known[0] == keras.saving.serialize_keras_object(block):
        known[1].set_weights(block.get_weights())
        return known[1]
    copy = float64_copy(block)  # names a block that cannot be serialized
    if copy is not block:
        _copies[block] = keras.saving.serialize_keras_object(block), copy
    return copy


_copies: weakref.WeakKeyDictionary[Block, tuple[Any, Block]] = weakref.WeakKeyDictionary()


def _widened(config: Any) -> Any:
    if isinstance(config, dict):
        return {key: "float64" if key == "dtype" else _widened(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_widened(value) for value in config)
    return config
