"""From what a user passes as `conditioner=` to a Keras layer with the right number of outputs."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import keras

from inntf.core.errors import explain
from inntf.core.protocols import Conditioner as Takes

Conditioner: TypeAlias = keras.layers.Layer | Callable[[int], keras.layers.Layer]


def make_conditioner(owner: keras.layers.Layer, conditioner: Conditioner, out_channels: int) -> keras.layers.Layer:
    """A Keras layer with `out_channels` outputs.

    Args:
        owner: the block that asks; a network made here takes its dtype policy.
        conditioner: a Keras layer, used as it is (one with a method `initialize(x)`, which returns its output, is
            initialized from data with its owner); or a function of the number of output channels that makes one, or a
            class with an argument `out_channels`.  In either case a layer with an attribute `out_channels` that is `None`
            gets it set, also the last one of a Sequential, and one of ours without a dtype the owner's dtype policy.
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
    layer = conditioner if isinstance(conditioner, keras.layers.Layer) else _made(owner, conditioner, out_channels)
    last = layer
    while isinstance(last, keras.Sequential) and last.layers:
        last = last.layers[-1]
    have = last.out_channels if isinstance(last, Takes) else out_channels
    if have is None:
        last.out_channels = out_channels
        if getattr(last, "_follows_owner", False) and not last.built:
            last.dtype_policy = owner.dtype_policy
    elif have != out_channels:
        raise ValueError(
            explain(
                owner.name,
                received=f"a conditioner with {have} output channels",
                expected=f"{out_channels}",
                remedy="Leave out_channels unset, or pass a function of the number of output channels.",
            )
        )
    return layer


def _made(owner: keras.layers.Layer, conditioner: Callable[..., Any], out_channels: int) -> keras.layers.Layer:
    if not callable(conditioner):
        raise TypeError(
            explain(
                owner.name,
                received=f"conditioner of type {type(conditioner).__name__}",
                expected="a Keras layer, or a function of the output channels that makes one",
                remedy="For example conditioner=inntf.nets.MLP([64, 64]).",
            )
        )
    arguments, keywords = _call_with(owner, conditioner, out_channels)
    with policy_of(owner):
        layer = conditioner(*arguments, **keywords)
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


def _call_with(owner: Any, conditioner: Callable[..., Any], out_channels: int) -> tuple[list[Any], dict[str, Any]]:
    try:
        signature = inspect.signature(conditioner)
    except ValueError:  # of builtins that tell nothing
        return [out_channels], {}
    if isinstance(conditioner, type) and "out_channels" in signature.parameters:
        return [], {"out_channels": out_channels}  # the class of a network: its first argument is something else
    try:
        signature.bind(out_channels)
    except TypeError as error:
        raise TypeError(
            explain(
                owner.name,
                received=f"a conditioner function that does not take one argument ({error})",
                expected="a function of the number of output channels",
                remedy="For example conditioner=lambda channels: inntf.nets.MLP([64, 64], out_channels=channels).",
            )
        ) from error
    return [out_channels], {}


def width_of(network: keras.layers.Layer) -> int:
    """The number of outputs of a network that is to be built.

    Raises:
        ValueError: if it does not know it.
    """
    if network.out_channels is None:
        raise ValueError(
            explain(
                network.name,
                received="out_channels=None, and a call that needs the weights",
                expected="the number of output channels",
                remedy="Set out_channels=, or pass the network as the conditioner of a block, which sets it.",
            )
        )
    return network.out_channels


@contextlib.contextmanager
def policy_of(owner: keras.layers.Layer) -> Iterator[None]:
    """Make new layers take the dtype policy of `owner`."""
    before: Any = keras.config.dtype_policy()
    keras.config.set_dtype_policy(owner.dtype_policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
