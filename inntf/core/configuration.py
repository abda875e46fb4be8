"""Constructor arguments: recorded, shown, serialized, cloned."""

from __future__ import annotations

import contextlib
import inspect
import uuid
import warnings
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import keras
from keras.src.backend.common.global_state import get_global_attribute
from keras.src.saving.serialization_lib import ObjectSharingScope, in_safe_mode

from inntf.core.errors import explain
from inntf.core.freezing import freeze_alike

_LAYER_ARGUMENTS = ("name", "dtype", "trainable")  # Keras serializes these itself
_MARK = "shared_object_id"  # Keras' name of what tells it that two configurations are of one object
_met: ContextVar[dict[int, list[Any]] | None] = ContextVar("met", default=None)  # layers, each time that they are serialized
_memo: ContextVar[dict[int, Any] | None] = ContextVar("memo", default=None)  # copies by the ids of what they are of


def serialize(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as plain data; layers, functions and registered objects the Keras way; a layer met twice is marked as one."""
    if _met.get() is not None or _in_save():
        return _plain(arguments)
    met: dict[int, list[Any]] = {}
    token = _met.set(met)
    try:
        config = _plain(arguments)
    finally:
        _met.reset(token)
    # Within a load marks must be none of the file's, nor those of an earlier call.
    salt = uuid.uuid4().int >> 65 if _sharing() else 0
    marks = {i: i ^ salt for i, times in met.items() if len(times) > 1}
    return _marked(config, marks) if met else config


def _plain(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _serialize(v) for k, v in arguments.items() if k not in _LAYER_ARGUMENTS}


def _serialize(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_serialize(v) for v in value]
    if isinstance(value, dict):
        return {k: _serialize(v) for k, v in value.items()}
    config = keras.saving.serialize_keras_object(value)
    if isinstance(value, keras.layers.Layer):
        # Keras marks the first of two once it meets the second, which is too late: it copies configurations inside of others.
        config[_MARK] = id(value)
        if (met := _met.get()) is not None:
            met.setdefault(id(value), []).append(value)
    return config


def _marked(config: Any, marks: dict[int, int]) -> Any:
    # The same with these marks in place of the ids, and none where there is none.
    if isinstance(config, dict):
        given = {k: _marked(v, marks) for k, v in config.items() if k != _MARK}
        return given | {_MARK: marks[config[_MARK]]} if config.get(_MARK) in marks else given
    if isinstance(config, list | tuple):
        parts = [_marked(part, marks) for part in config]
        return tuple(parts) if isinstance(config, tuple) else parts
    return config


def _sharing() -> bool:
    return get_global_attribute("shared_objects/id_to_obj_map") is not None


def _in_save() -> bool:
    # There ids are marks for the whole model; a load, which has the scope too, says what it thinks of lambdas.
    return _sharing() and in_safe_mode() is None


def deserialize(config: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `serialize`."""
    with contextlib.nullcontext() if _sharing() else ObjectSharingScope():
        return {k: _deserialize(v) for k, v in config.items()}


def _deserialize(value: Any) -> Any:
    if isinstance(value, dict):
        if "class_name" not in value:
            return {k: _deserialize(v) for k, v in value.items()}
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


def clone(value: Any, memo: dict[int, Any] | None = None) -> Any:
    """The same configuration with layers and blocks made anew, so that nothing is shared with it.

    Args:
        value: a layer or another argument, or lists, tuples and dictionaries of them.
        memo: as in `copy.deepcopy`: what two share is copied once, and their copies share it.
    """
    memo = {} if memo is None else memo
    if isinstance(value, keras.layers.Layer):
        if id(value) not in memo:
            memo[id(value)] = copied(value, memo) if hasattr(value, "copy") else _layer_anew(value)
        return memo[id(value)]
    if isinstance(value, list | tuple):
        return type(value)(clone(v, memo) for v in value)
    if isinstance(value, dict):
        return {k: clone(v, memo) for k, v in value.items()}
    return value


def copied(layer: Any, memo: dict[int, Any]) -> Any:
    """`layer.copy()`, whose arguments are cloned with this memo."""
    token = _memo.set(memo)
    try:
        memo[id(layer)] = new = layer.copy()
    finally:
        _memo.reset(token)
    return new


def memo_of_copy() -> dict[int, Any]:
    """The memo for the arguments of the copy that is being made; what its constructor copies besides is its own."""
    memo = _memo.get()
    _memo.set(None)
    return {} if memo is None else memo


def _layer_anew(layer: keras.layers.Layer) -> keras.layers.Layer:
    # Layers that nobody has registered are found by the names of their classes.
    parts = layer._flatten_layers()
    classes = {type(part).__name__: type(part) for part in parts}
    try:
        with keras.saving.custom_object_scope(classes), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The object being serialized includes a `lambda`")
            return type(layer).from_config(_with_functions(layer.get_config(), _functions(parts)))
    except (TypeError, ValueError, OSError) as error:
        raise ValueError(
            explain(
                f"a copy of {layer.name}",
                received=f"a {type(layer).__name__} whose configuration does not make it again ({_cause(error)})",
                expected="what from_config(get_config()) makes",
                remedy="Register functions and classes by @keras.saving.register_keras_serializable(), and name lambdas.",
            )
        ) from error


def _cause(error: Exception) -> str:
    return str(error).rpartition("Exception encountered: ")[-1][:300]  # behind the whole configuration


def _functions(parts: list[keras.layers.Layer]) -> dict[tuple[str | None, str], Any]:
    # By the names of layer and attribute; where two layers of one name have different ones, none.
    found: dict[tuple[str | None, str], list[Any]] = {}
    for part in parts:
        for key, value in vars(part).items():
            if inspect.isfunction(value):
                found.setdefault((part.name, key), []).append(value)
    return {key: values[0] for key, values in found.items() if all(value is values[0] for value in values)}


def _with_functions(config: Any, functions: dict[tuple[str | None, str], Any]) -> Any:
    # Functions themselves in place of what Keras writes of them: names are found only where somebody has registered them.
    if isinstance(config, list | tuple):
        parts = [_with_functions(part, functions) for part in config]
        return tuple(parts) if isinstance(config, tuple) else parts
    if not isinstance(config, dict):
        return config
    name = config.get("name") if isinstance(config.get("name"), str) else None
    given = {k: functions[name, k] for k, v in config.items() if (name, k) in functions and _writes(functions[name, k], v)}
    return {k: given[k] if k in given else _with_functions(v, functions) for k, v in config.items()}


def _writes(function: Any, config: Any) -> bool:
    if not isinstance(config, dict):
        return False
    written = keras.saving.serialize_keras_object(function)
    return config in (written, written["config"])  # of a lambda some layers write the inner part alone
