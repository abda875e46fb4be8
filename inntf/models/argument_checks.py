"""Checks of what factories and flows are given: received, expected, remedy, in the words of the arguments."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core import Block
from inntf.core.errors import explain
from inntf.core.shapes import Shape, Sizes

_MAY_BE_OPEN = (2, 3)  # ranks of sequences, sets and images of any size
_RANKS = {0: "()", 1: "dim or (dim,)", 2: "(length, dim)", 3: "(height, width, channels)"}


def shape(who: str, name: str, value: Any, ranks: Sequence[int] = (1, 2, 3)) -> Sizes:
    """A shape as a tuple of positive integers; one integer is that of a vector.

    Args:
        who: complains.
        name: of the argument.
        value: what was given.
        ranks: which ranks are allowed.

    Raises:
        ValueError: for another rank, or sizes that are not positive integers; TypeError: for what is no shape.
    """
    given = (value,) if _is_number(value) else value.as_list() if isinstance(value, tf.TensorShape) else value
    if isinstance(given, str | bytes) or not isinstance(given, Sequence | np.ndarray):
        raise TypeError(_shape_text(who, name, value, ranks))
    sizes = tuple(size for size in map(_integer, given) if size is not None and size > 0)
    if len(given) not in ranks or len(sizes) < len(given):
        raise ValueError(_shape_text(who, name, value, ranks))
    return sizes


def condition_shape(who: str, value: Any, network: keras.layers.Layer | None) -> Shape | None:
    """The shape of a condition, if any: a vector or an image; for a network anything, and sizes but the last may be open.

    Raises:
        ValueError, TypeError: as `shape`.
    """
    if value is None:
        return None
    ranks = (1, 3) if network is None else (0, 1, 2, 3)  # a network makes a vector or an image of others
    sizes = tuple(value) if isinstance(value, list | tuple) else ()
    if network is None and None in sizes:
        raise _refused(
            who,
            "condition_shape",
            value,
            "positive integers, or a condition_network",
            "condition_network=..., a Keras layer, makes vectors of sequences, sets and images of any size.",
        )
    if network is None or len(sizes) not in _MAY_BE_OPEN or None not in sizes[:-1]:
        return shape(who, "condition_shape", value, ranks)
    closed = shape(who, "condition_shape", [1 if size is None else size for size in sizes[:-1]] + [sizes[-1]], ranks)
    return tuple(None if given is None else size for given, size in zip(sizes, closed, strict=True))


def network_of_conditions(who: str, network: keras.layers.Layer | None, block: Block) -> None:
    """A flow's network needs a block that reads what it makes: one built without a condition takes none later.

    Raises:
        ValueError: for a block that does not.
    """
    if network is None or not block.built or block.condition_shape is not None:
        return
    if block.uses_condition:
        raise network_without_shape(who, network)
    received, expected = f"condition_network={network!r}", f"a block that reads conditions, which {block.name} does not"
    raise ValueError(explain(who, received=received, expected=expected, remedy="Leave the network out."))


def network_without_shape(who: str, network: keras.layers.Layer) -> ValueError:
    """The error for a network whose conditions have no shape where a block is built."""
    received = f"condition_network={network!r}, and a block built without a condition"
    expected = "the shape of one condition before the block is built"
    remedy = "Pass condition_shape=(dim,), or what the network takes, where you make the flow."
    return ValueError(explain(who, received=received, expected=expected, remedy=remedy))


def ignored(who: str, other: str, name: str, value: Any, why: str) -> None:
    """An argument that another one leaves without effect must not be given.

    Raises:
        ValueError: if it is.
    """
    if value is not None:
        raise _refused(who, f"{other} and {name}", value, f"one of them: {why}", f"Leave {name} out.")


def count(who: str, name: str, value: Any, least: int = 1, remedy: str = "Count whole ones.") -> int:
    """A whole number of at least `least`."""
    number = _integer(value)
    if number is None or number < least:
        raise _refused(who, name, value, f"an integer of at least {least}", remedy, wrong_type=not _is_number(value))
    return number


def widths(
    who: str, name: str, value: Any, *, one: bool = False, remedy: str = "For example hidden=(128, 128)."
) -> tuple[int, ...]:
    """Widths of hidden layers: positive integers, or one of them where `one`."""
    words = f"a sequence of positive integers{', or one' if one else ''}"
    if one and (number := _integer(value)) is not None and number > 0:
        return (number,)
    if isinstance(value, str | bytes) or not isinstance(value, Sequence | np.ndarray):
        raise _refused(who, name, value, words, remedy, wrong_type=not _is_number(value) or not one)
    sizes = tuple(size for size in map(_integer, value) if size is not None and size > 0)
    if len(sizes) < len(value):
        raise _refused(who, name, value, words, remedy)
    return sizes


def blocks(who: str, name: str, value: Any) -> tuple[Block, ...]:
    """A sequence of blocks."""
    if isinstance(value, Block) or not isinstance(value, Sequence) or not all(isinstance(part, Block) for part in value):
        raise _refused(who, name, value, "a sequence of blocks", "For example [Dequantize(), Logit()].", wrong_type=True)
    return tuple(value)


def squeezes(who: str, event: Shape, levels: int, preprocessing: Sequence[Block], what: str = "levels") -> None:
    """Height and width must divide by two once a level, after what stands before the levels."""
    if not levels:
        return
    shape = tf.TensorShape(event)
    for block in preprocessing:
        shape = block._forward_event_shape(shape)
    height, width = shape[:2]
    most = next(n for n in itertools.count() if height % 2 ** (n + 1) or width % 2 ** (n + 1))
    if levels > most:
        factor = 2**levels
        padded = " x ".join(str(-(-size // factor) * factor) for size in (height, width))
        fewer = f", or take {what}={most}" if most or (what == "levels" and who == "residual_flow") else ""
        raise ValueError(
            explain(
                who,
                received=f"{what}={levels} on images of {height} x {width}",
                expected=f"height and width divisible by {factor}: each of the {what} halves them",
                remedy=f"Pad the images to {padded}{fewer}.",
            )
        )


def number(who: str, name: str, value: Any, low: float, high: float = np.inf, *, closed: bool = False) -> float:
    """A finite number between `low` and `high`, ends excluded (included where `closed`)."""
    words = f"a number {'of at least' if closed else 'above'} {low:g}" + ("" if np.isinf(high) else f" and below {high:g}")
    if isinstance(value, bool | np.bool_) or not _is_number(value):
        raise _refused(who, name, value, words, wrong_type=True)
    if not np.isfinite(float(value)) or not (low <= value if closed else low < value) or not value < high:
        raise _refused(who, name, value, words)
    return float(value)


def flag(who: str, **values: Any) -> None:
    """True or False."""
    for name, value in values.items():
        if not isinstance(value, bool | np.bool_):
            raise _refused(who, name, value, "True or False", wrong_type=True)


def choice(who: str, name: str, value: Any, allowed: Sequence[Any]) -> None:
    """One of a few words."""
    if not any(type(value) is type(word) and value == word for word in allowed):
        raise _refused(who, name, value, " or ".join(map(repr, allowed)))


def backprop(who: str, value: Any) -> None:
    """A way to backpropagate."""
    choice(who, "backprop", value, ("stored", "reversible", "checkpointed"))


def seed(who: str, value: Any) -> None:
    """A whole number."""
    if (number := _integer(value)) is None or number < 0:
        raise _refused(who, "seed", value, "an integer of at least 0", wrong_type=not _is_number(value))


def priors(who: str, value: Any) -> None:
    """What `Multiscale` takes."""
    if not callable(value):
        choice(who, "priors", value, ("fixed", "learned"))


def activation(who: str, value: Any) -> None:
    """What Keras knows as an activation."""
    try:
        keras.activations.get(value)
    except (ValueError, TypeError) as error:
        words, remedy = "the Keras name of an activation, or a function", "For example 'relu'."
        raise _refused(who, "activation", value, words, remedy, wrong_type=not isinstance(value, str)) from error


def layer_maker(who: str, name: str, value: Any) -> None:
    """A function that makes a layer, or none."""
    if value is not None and not callable(value):
        raise _refused(who, name, value, "a function that makes a Keras layer", "Pass a class or a function.", wrong_type=True)


def layer(who: str, name: str, value: Any) -> None:
    """A Keras layer, or none."""
    if value is not None and not isinstance(value, keras.layers.Layer):
        raise _refused(who, name, value, "a Keras layer", "For example keras.layers.Dense(16).", wrong_type=True)


def _is_number(value: Any) -> bool:
    if isinstance(value, str | bytes) or value is None or isinstance(value, Sequence):
        return False
    return np.ndim(value) == 0 and np.asarray(value).dtype.kind in "biuf"


def _integer(value: Any) -> int | None:
    if isinstance(value, bool | np.bool_):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _shape_text(who: str, name: str, value: Any, ranks: Sequence[int]) -> str:
    words = " or ".join(_RANKS[rank] for rank in ranks)
    remedy = f"Give the shape of one, without the batch: {name}=(28, 28, 1) for images, {name}=2 for points of a plane."
    if tuple(ranks) == (1,):
        remedy = "Give the number of entries of one vector; flatten what is none. (Images have a flow of their own: glow.) "
    return explain(who, received=f"{name}={value!r}", expected=f"{words}, positive integers", remedy=remedy.strip())


def _refused(who: str, name: str, value: Any, expected: str, remedy: str = "", wrong_type: bool = False) -> Exception:
    text = explain(who, received=f"{name}={value!r}", expected=expected, remedy=remedy)
    return TypeError(text) if wrong_type else ValueError(text)
