"""What lets one class be a Keras layer and a TFP bijector at once.

The two hierarchies collide on eight names; `Block` inherits from both through the pieces here.
`tests/core/test_collisions.py` pins the set, so that an upgrade of either library is noticed.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd


class LiveVariables(collections.abc.Mapping):
    """A mapping, always current, from keys to the `tf.Variable`s of a Keras layer.

    `tf.Module` collects leaves from `vars(obj)` and knows `tf.Variable` only; a Keras variable holds one.
    `tf.nest` flattens this mapping whenever it is asked, so variables made later are seen as well: it reads the keys, and then
    each value, which is that of the last look at the keys, so that the layer is walked once.
    Variables of frozen layers are left out: their `tf.Variable` still calls itself trainable.
    """

    def __init__(self, layer: keras.layers.Layer):
        self._layer = layer
        self._seen: dict[str, tf.Variable] = {}

    def _current(self) -> dict[str, tf.Variable]:
        frozen = {id(v) for v in _frozen(self._layer)}
        pairs = ((i, v) for i, v in enumerate(self._layer.variables) if id(v) not in frozen)
        return {f"{i:05d}": getattr(v, "_value", v) for i, v in pairs}

    def __getitem__(self, key: str) -> tf.Variable:
        seen = self._seen
        return seen[key] if key in seen else self._current()[key]

    def __iter__(self) -> Iterator[str]:
        self._seen = seen = self._current()
        return iter(seen)

    def __len__(self) -> int:
        return len(self._current())


def _frozen(layer: keras.layers.Layer) -> list[Any]:
    trainable = {id(v) for v in layer.trainable_variables}
    return [v for v in layer.variables if id(v) not in trainable and getattr(getattr(v, "_value", v), "trainable", False)]


class BijectorBridge(tfb.Bijector):
    """Stands between `keras.layers.Layer` and `tfb.Bijector` in the method resolution order.

    Keras' `Layer.__call__` ends in `super().__call__`, which would land in `Bijector.__call__`; this sends it on
    to `keras.Operation`, where it belongs.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)

    def __call__(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Where `Layer.__call__` arrives."""
        if is_tfp(value):
            return tfb.Bijector.__call__(self, value, *args, **kwargs)
        return keras.Operation.__call__(self, value, *args, **kwargs)


def is_tfp(value: Any) -> bool:
    """Whether a call with this value belongs to TFP (composition, transformed distributions)."""
    return isinstance(value, (tfb.Bijector, tfd.Distribution))
