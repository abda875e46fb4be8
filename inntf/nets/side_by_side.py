"""Networks that see the same and whose outputs stand side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from inntf.core.checkpointing import Checkpointed
from inntf.core.errors import explain


@keras.saving.register_keras_serializable("inntf")
class SideBySide(Checkpointed, keras.layers.Layer):
    """`x -> [net_1(x), net_2(x), ...]` along the channels: for instance one network for the shift and one for the scale.

    Args:
        networks: Keras layers, each with its width set.

    Call arguments: `(batch, dim)` or `(batch, height, width, channels)`.  Returns the same with all outputs in the channels.

    Raises:
        TypeError: if a network is no Keras layer; ValueError: if there is none.

    Source: Dinh et al., "Density estimation using Real NVP" (2017), section 3.2: scale and translation are two functions.

    Example:
        >>> SideBySide([keras.layers.Dense(2), keras.layers.Dense(3)])(keras.ops.ones([4, 2])).shape
        TensorShape([4, 5])
    """

    def __init__(self, networks: Sequence[keras.layers.Layer], **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(networks, list | tuple) or not all(isinstance(net, keras.layers.Layer) for net in networks):
            raise TypeError(explain("SideBySide", received=f"networks={networks!r}", expected="a list of Keras layers"))
        if not networks:
            raise ValueError(explain("SideBySide", received="no network", expected="at least one"))
        self.networks = list(networks)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build each."""
        for net in self.networks:
            if not net.built:
                net.build(input_shape)

    def call(self, x: Any) -> Any:
        """All outputs, in the order of the networks."""
        return tf.concat([net(x) for net in self.networks], -1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output."""
        return (*input_shape[:-1], sum(net.compute_output_shape(input_shape)[-1] for net in self.networks))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        networks = [keras.saving.serialize_keras_object(net) for net in self.networks]
        return {**super().get_config(), "networks": networks}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SideBySide:
        """The layer from `get_config()`."""
        networks = [keras.saving.deserialize_keras_object(net) for net in config.pop("networks")]
        return cls(networks, **config)
