"""Constructor arguments: recorded, shown, serialized, cloned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from inntf.core.errors import explain
from inntf.core.freezing import freeze_alike

_LAYER_ARGUMENTS = ("name", "dtype", "trainable")  # Keras serializes these itself


def serialize(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as plain data; layers, functions and registered objects the Keras way."""
    return {k: _serialize(v) for k, v in arguments.items() if k not in _LAYER_ARGUMENTS}


def _serialize(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_serialize(v) for v in value]
    return keras.saving.serialize_keras_object(value)


def deserialize(config: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `serialize`."""
    return {k: _deserialize(v) for k, v in config.items()}


def _deserialize(value: Any) -> Any:
    if isinstance(value, dict) and "class_name" in value:
        return keras.saving.deserialize_keras_object(value)
    if isinstance(value, list | tuple):
        parts = [_deserialize(v) for v in value]
        return tuple(parts) if isinstance(value, tuple) else parts
    return value


def twin(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A layer with the same configuration and weights, so that nothing is shared."""
    new = clone(layer)
    if not layer.built:
        return new
    config = layer.get_build_config()
    if not new.built and config:
        new.build_from_config(config)
    weights = layer.get_weights()
    if [w.shape for w in weights] != [tuple(v.shape) for v in new.weights]:
        raise ValueError(
            explain(
                f"a copy of {layer.name}",
                received=f"{len(new.weights)} weights after build",
                expected=f"{len(weights)}, as the original has",
                remedy="Let the layer make all of its weights in build, or copy it yourself.",
            )
        )
    new.set_weights(weights)
    freeze_alike(new, layer)
    return new


def clone(value: Any) -> Any:
    """The same configuration with layers and blocks made anew, so that nothing is shared."""
    if hasattr(value, "copy") and isinstance(value, keras.layers.Layer):
        return value.copy()
    if isinstance(value, keras.layers.Layer):
        # Layers that nobody has registered are found by the names of their classes.
        classes = {type(layer).__name__: type(layer) for layer in value._flatten_layers()}
        with keras.saving.custom_object_scope(classes):
            return type(value).from_config(value.get_config())
    if isinstance(value, list | tuple):
        return type(value)(clone(v) for v in value)
    if isinstance(value, dict):
        return {k: clone(v) for k, v in value.items()}
    return value
