"""A network as a function of its input and of tensors in place of its weights; the same network in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from inntf.core.errors import explain
from inntf.core.protocols import Prepared
from inntf.core.vjp import within
from inntf.nets.lipschitz_cache import settings_of


class PureNetwork:
    """`network(x)` at inference, as a function `(x, *values)` of its float weights.

    A plain object that holds on to the network, and to its twin in float64 once that is asked for, out of sight of
    trackers.  A `Prepared` network is a function of its effective weights: what they cost is paid once, not an evaluation.

    Args:
        network: a Keras layer, built.

    Source: inntf.
    """

    def __init__(self, network: keras.layers.Layer):
        self.network = network
        self._twin: keras.layers.Layer | None = None
        self._twin_of: tuple[Any, ...] = ()

    def values(self) -> list[tf.Tensor]:
        """What stands for the weights now: the variables, or what a stateless scope puts in their place."""
        if isinstance(self.network, Prepared):
            return self.network.effective_weights()
        return [tf.convert_to_tensor(v) for v in self.network.variables]

    def __call__(self, x: tf.Tensor, values: Sequence[tf.Tensor]) -> tf.Tensor:
        """The network with these values as weights, at inference; the output has the dtype of `x`."""
        if isinstance(self.network, Prepared):
            return tf.cast(self.network.apply(x, values), x.dtype)
        return _apply(self.network, x, values)

    def widen(self, event_shape: tuple[int | None, ...]) -> None:
        """Make the float64 twin, for inputs of this event shape, unless it is there and the network is what it was."""
        if isinstance(self.network, Prepared):
            return
        settings = settings_of(self.network)
        if self._twin is None or self._twin_of != settings:
            self._twin, self._twin_of = float64_twin(self.network, event_shape), settings

    def wide(self, x: tf.Tensor, values: Sequence[tf.Tensor]) -> tf.Tensor:
        """The same, computed in float64; `widen` must have been called."""
        floats = [tf.cast(v, tf.float64) if v.dtype.is_floating else v for v in values]
        if isinstance(self.network, Prepared):
            return self.network.apply(tf.cast(x, tf.float64), floats)
        return _apply(self._twin, tf.cast(x, tf.float64), floats)


def _apply(network: keras.layers.Layer, x: tf.Tensor, values: Sequence[tf.Tensor]) -> tf.Tensor:
    pairs = list(zip(network.variables, values, strict=True))
    with keras.StatelessScope(pairs, initialize_variables=False), within(None):  # no call around it: not in training
        return tf.cast(network(x), x.dtype)


def float64_twin(network: keras.layers.Layer, event_shape: tuple[int | None, ...]) -> keras.layers.Layer:
    """A network of the same configuration that computes in float64, with weights of its own.

    Args:
        network: a Keras layer, built, that Keras can serialize.
        event_shape: of its input.

    Returns:
        The twin, built; its variables are in the order of the network's.

    Raises:
        ValueError: if the twin does not have the same weights.

    Source: inntf.
    """
    with tf.init_scope():
        twin = keras.saving.deserialize_keras_object(_widened(keras.saving.serialize_keras_object(network)))
        twin(tf.zeros([1, *(4 if n is None else n for n in event_shape)], tf.float64))
    if [tuple(v.shape) for v in twin.variables] != [tuple(v.shape) for v in network.variables]:
        raise ValueError(
            explain(
                f"the float64 twin of {network.name}",
                received="other weights than the network's",
                expected="the same configuration to make the same weights",
                remedy="Write get_config so that it does, or use refine=None.",
            )
        )
    return twin


def _widened(config: Any) -> Any:
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return {**config, "config": {"name": "float64"}}
        return {k: "float64" if k == "dtype" and isinstance(v, str) else _widened(v) for k, v in config.items()}
    return [_widened(v) for v in config] if isinstance(config, list | tuple) else config
