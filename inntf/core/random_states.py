"""The random states of layers: two evaluations that are compared must draw the same noise."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras


def random_states(layer: Any) -> list[keras.Variable]:
    """The states of all seed generators in a layer, a block or a flow, stacked ones of a `Repeat` included, in order."""
    return [v for v in layer.variables if "seed_generator_state" in v.name]  # Keras' name; a stack keeps it


@contextlib.contextmanager
def same_draws(*layers: Any) -> Iterator[Callable[[], None]]:
    """Yields `rewind`: after each call of it, all the layers draw what the first one would draw at the entry.

    Afterwards every layer has the random state that it had: a measurement leaves training as it was.

    Args:
        layers: layers of one make, such as a block and its copy in float64.

    Example:
        >>> layer = keras.layers.Dropout(0.5); x = keras.ops.ones([1, 8]); _ = layer(x)
        >>> with same_draws(layer) as rewind:
        ...     one = layer(x, training=True)
        ...     rewind()
        ...     two = layer(x, training=True)
        >>> bool(keras.ops.all(one == two))
        True
    """
    states = [random_states(layer) for layer in layers]
    before = [[state.numpy() for state in own] for own in states]

    def rewind() -> None:
        for own in states:
            for state, value in zip(own, before[0], strict=True):
                state.assign(value)

    rewind()
    try:
        yield rewind
    finally:
        for own, values in zip(states, before, strict=True):
            for state, value in zip(own, values, strict=True):
                state.assign(value)
