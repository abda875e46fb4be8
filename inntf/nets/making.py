"""From what a user passes as `conditioner=` to a Keras layer with the right number of outputs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras

from inntf.core.errors import explain

Conditioner = keras.layers.Layer | Callable[[int], keras.layers.Layer]


def make_conditioner(owner: keras.layers.Layer, conditioner: Conditioner, out_channels: int) -> keras.layers.Layer:
    """A Keras layer with `out_channels` outputs.

    Args:
        owner: the block that asks; a network made here takes its dtype policy.
        conditioner: a Keras layer, used as it is (one with an attribute `out_channels` that is `None` gets it set,
            and one of ours without a dtype the owner's dtype policy; one with a method
            `initialize(x)`, which returns its output, is initialized from data with its owner);
            or a function of the number of output channels that makes one.
        out_channels: width of the last axis that the block needs.

    Returns:
        The layer, perhaps not built yet.

    Raises:
        ValueError: if the layer has been made for another number of outputs; TypeError: if it is neither.

    Source: inntf.

    Example:
        >>> owner = keras.layers.Layer()
        >>> make_conditioner(owner, lambda n: keras.layers.Dense(n), 6).units
        6
    """
    if isinstance(conditioner, keras.layers.Layer):
        have = getattr(conditioner, "out_channels", out_channels)
        if have is None:
            conditioner.out_channels = out_channels
            if getattr(conditioner, "_follows_owner", False) and not conditioner.built:
                conditioner.dtype_policy = owner.dtype_policy
        elif have != out_channels:
            raise ValueError(
                explain(
                    owner.name,
                    received=f"a conditioner with {have} output channels",
                    expected=f"{out_channels}",
                    remedy="Leave out_channels unset, or pass a function of the number of output channels.",
                )
            )
        return conditioner
    if not callable(conditioner):
        raise TypeError(
            explain(
                owner.name,
                received=f"conditioner of type {type(conditioner).__name__}",
                expected="a Keras layer, or a function of the output channels that makes one",
                remedy="For example conditioner=inntf.nets.MLP([64, 64]).",
            )
        )
    with policy_of(owner):
        layer = conditioner(out_channels)
    if not isinstance(layer, keras.layers.Layer):
        raise TypeError(
            explain(
                owner.name,
                received=f"a conditioner function that returned {type(layer).__name__}",
                expected="a Keras layer",
                remedy="Return a keras.layers.Layer or keras.Model.",
            )
        )
    return layer


@contextlib.contextmanager
def policy_of(owner: keras.layers.Layer) -> Iterator[None]:
    """Make new layers take the dtype policy of `owner`."""
    before: Any = keras.config.dtype_policy()
    keras.config.set_dtype_policy(owner.dtype_policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
