"""The certified Lipschitz constant of a network, remembered for as long as it is that of the network as it is."""

from __future__ import annotations

import collections
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from inntf.core.weights import read
from inntf.nets.lipschitz import Bound, lipschitz_constant

_ENTRIES = 64  # sets of weights: a `Repeat` has one a block
_BYTES = 2**26  # that these may take together; the last set is always kept
_PLAIN = (bool, int, float, str, bytes, type(None))


class RememberedConstant:
    """`lipschitz_constant` of a network, eagerly, computed once for weights that are equal and settings that are the same.

    The weights are compared where they are: nothing but a few numbers goes to the host.  Whatever is different, a weight
    (assigned, loaded, trained) or an attribute of a layer, makes another constant.
    """

    def __init__(self) -> None:
        self._known: collections.OrderedDict[Any, list[tuple[list[tf.Tensor], Bound]]] = collections.OrderedDict()

    def __call__(self, network: keras.layers.Layer) -> Bound:
        """The bound, and the reason where it is infinite."""
        weights = [read(w) for w in network.weights]
        key = settings_of(network), _glance(weights)
        found = self._known.get(key, [])
        for before, bound in found:
            if _equal(before, weights):
                self._known.move_to_end(key)
                return bound
        bound = lipschitz_constant(network)
        self._known[key] = [*found, (weights, bound)]
        self._known.move_to_end(key)
        self._forget()
        return bound

    def _forget(self) -> None:
        def size() -> int:
            return sum(w.dtype.size * w.shape.num_elements() for sets in self._known.values() for ws, _ in sets for w in ws)

        while len(self._known) > 1 and (len(self._known) > _ENTRIES or size() > _BYTES):
            self._known.popitem(last=False)
        last = next(reversed(self._known.values()))
        del last[: len(last) - _ENTRIES]


class _Identity:
    """An object that is equal to itself alone; it is held, so that nothing else can take its place in memory."""

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


class _WeakIdentity:
    """The same without holding it: once it is gone, this is equal to nothing."""

    def __init__(self, value: Any):
        self.value: Callable[[], Any]
        try:
            self.value = weakref.ref(value)
        except TypeError:  # of a type that cannot be referred to weakly: small immutable things
            self.value = lambda: value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _WeakIdentity) and self.value() is not None and self.value() is other.value()

    __hash__: None  # type: ignore[assignment]


def settings_of(network: keras.layers.Layer, held: bool = True) -> tuple[Any, ...]:
    """Everything but the weights that makes a network what it is: its layers and their attributes, comparable.

    Numbers, text and arrays count by value, whatever else by identity and, one level deep, by its own attributes.

    Args:
        network: a layer.
        held: whether the settings hold on to the objects; those that do not are for what lives no longer than the network.
    """
    identity = _Identity if held else _WeakIdentity
    return tuple(
        (identity(layer), _declared(layer), tuple((name, _setting(value, identity)) for name, value in vars(layer).items()))
        for layer in network._flatten_layers()
    )


def _declared(value: Any) -> Any:
    # A property may compute it from anything.
    constant = getattr(value, "lipschitz", None) if callable(value) else None
    return constant if isinstance(constant, float | int) else None


def _setting(value: Any, identity: type, deep: bool = True) -> Any:
    if isinstance(value, _PLAIN):
        return type(value), value
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, list | tuple | set):
        return type(value), tuple(_setting(part, identity, deep) for part in value)
    if isinstance(value, dict):
        return type(value), tuple(
            (_setting(key, identity, False), _setting(part, identity, deep)) for key, part in value.items()
        )
    if deep and not isinstance(value, keras.layers.Layer | keras.Variable | tf.Tensor | tf.Variable | type):
        own = getattr(value, "__dict__", None) or {}
        return identity(value), _declared(value), tuple((name, _setting(part, identity, False)) for name, part in own.items())
    return identity(value)


def _glance(weights: Sequence[tf.Tensor]) -> bytes:
    # A few numbers of the first: sets of weights that differ mostly differ here, and it costs one small copy.
    return tf.reshape(weights[0], [-1])[:4].numpy().tobytes() if weights else b""


def _equal(before: Sequence[tf.Tensor], now: Sequence[tf.Tensor]) -> bool:
    if [(a.shape, a.dtype) for a in before] != [(b.shape, b.dtype) for b in now]:
        return False
    same = [tf.reduce_all(tf.equal(a, b)) for a, b in zip(before, now, strict=True) if a is not b]
    return bool(tf.reduce_all(tf.stack(same))) if same else True
