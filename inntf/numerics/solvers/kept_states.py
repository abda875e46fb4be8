"""A bounded number of the states that a solver has passed, spread over its steps."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

KEPT = 12  # the most states that are kept, an even number: with up to as many steps each is there
_FREE = -1


class KeptStates(NamedTuple):
    """States by the number of the step that they begin.

    Attributes:
        storage: `(KEPT + 1, batch, dim)`; the last place is scratch.
        numbers: int32, `(KEPT,)`: the number of every kept state, -1 for a free place.
    """

    storage: tf.Tensor
    numbers: tf.Tensor

    def at(self, n: tf.Tensor) -> tf.Tensor:
        """The state kept with this number; number 0 where there is none."""
        return tf.gather(self.storage, _first(tf.equal(self.numbers, n)))

    def last(self) -> tf.Tensor:
        """The largest number; -1 if there is none."""
        return tf.reduce_max(self.numbers)

    def free(self) -> tf.Tensor:
        """How many places are free."""
        return tf.reduce_sum(tf.cast(self.numbers < 0, tf.int32))

    def up_to(self, n: tf.Tensor) -> KeptStates:
        """Without those of larger numbers."""
        return self._replace(numbers=tf.where(self.numbers > n, _FREE, self.numbers))

    def put(self, n: tf.Tensor, y: tf.Tensor, wanted: tf.Tensor) -> KeptStates:
        """With this one, too, if it is wanted and there is a place."""
        free = self.numbers < 0
        place = tf.where(wanted & tf.reduce_any(free), _first(free), KEPT)
        return KeptStates(_written(self.storage, place, y), tf.where(tf.range(KEPT) == place, n, self.numbers))


class Keeper:
    """Keeps states as they come, one after another, in a tensor that a loop carries.

    Full, it goes over to every second one, every fourth, and so on; which place each gets is known beforehand.

    Args:
        most: how many states may come.
    """

    def __init__(self, most: int):
        self.most, self.places = most, _places(most, KEPT)

    def empty(self, y: tf.Tensor) -> tf.Tensor:
        """The tensor at first, with state 0 in it."""
        return tf.pad(y[tf.newaxis], [[0, KEPT], [0, 0], [0, 0]])

    def kept(self, storage: tf.Tensor, n: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """The tensor with state `n`, if that has a place."""
        return _written(storage, tf.gather(self.places, n), y)

    def found(self, storage: tf.Tensor, count: tf.Tensor) -> KeptStates:
        """What is kept after so many states."""
        n = tf.range(self.most)
        numbers = tf.math.unsorted_segment_max(tf.where(n < count, n, _FREE), self.places, KEPT + 1)
        return KeptStates(storage, tf.maximum(numbers[:KEPT], tf.one_hot(0, KEPT, 0, _FREE)))


@functools.lru_cache
def _places(most: int, room: int) -> np.ndarray:
    places, kept, stride = np.full(most, room, np.int32), [_FREE] * room, 1
    for n in range(most):
        if n == room * stride:
            stride *= 2
            kept = [_FREE if m % stride else m for m in kept]
        if n % stride == 0:
            places[n] = kept.index(_FREE)
            kept[places[n]] = n
    return places


def _written(storage: tf.Tensor, place: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    return tf.tensor_scatter_nd_update(storage, tf.reshape(place, [1, 1]), y[tf.newaxis])


def _first(flags: tf.Tensor) -> tf.Tensor:
    return tf.argmax(tf.cast(flags, tf.int32), output_type=tf.int32)
