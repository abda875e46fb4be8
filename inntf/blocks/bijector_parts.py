"""TFP bijectors taken apart and made again: as plain data for files, with other variables, in another dtype."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import bijectors as tfb

from inntf.core.errors import explain

_DEFERRED = tfp.util.DeferredTensor
_PLAIN = bool | int | str | None
Leaf = Callable[[Any], Any]


def remade(bijector: tfb.Bijector, leaf: Leaf) -> tfb.Bijector:
    """The same bijector with `leaf(value)` in place of each variable, array, number and dtype.

    Args:
        bijector: of a class of `tfp.bijectors`, with such parameters, or other such bijectors, alone.
        leaf: what comes in their places.

    Raises:
        TypeError: for another class, or a parameter that is a function or another object.
    """
    if isinstance(bijector, tfb.Bijector):
        return public_class(bijector)(**{k: _remade_value(bijector, k, v, leaf) for k, v in _parameters(bijector).items()})
    raise TypeError(f"received {type(bijector).__name__}, expected a bijector.")


def _remade_value(owner: Any, key: str, value: Any, leaf: Leaf) -> Any:
    if isinstance(value, tfb.Bijector):
        return remade(value, leaf)
    if isinstance(value, _DEFERRED):
        given = _remade_value(owner, key, value.pretransformed_input, leaf)
        return _DEFERRED(given, remade(_transform(owner, key, value), leaf))
    if isinstance(value, list | tuple) and not _numbers(value):
        return type(value)(_remade_value(owner, key, part, leaf) for part in value)
    if _is_leaf(value):
        return leaf(value)
    raise _not_plain(owner, key, value)


class FreshCopies:
    """A leaf: variables and arrays of its own, each variable once, perhaps in another floating dtype."""

    def __init__(self, dtype: Any = None):
        self._dtype = None if dtype is None else tf.as_dtype(dtype)
        self._made: dict[int, Any] = {}

    def __call__(self, value: Any) -> Any:
        """What comes in the place of a value."""
        if isinstance(value, tf.Variable):
            if id(value) not in self._made:
                dtype = self._dtype if self._dtype is not None and value.dtype.is_floating else value.dtype
                name = value.name.split(":")[0]
                made = tf.Variable(tf.cast(value, dtype), trainable=value.trainable, name=name)
                self._made[id(value)] = value, made  # the old one is kept, so that no other gets its id
            return self._made[id(value)][1]
        if self._dtype is None:
            return value
        if isinstance(value, tf.DType):
            return self._dtype if value.is_floating else value
        floating = isinstance(value, float) or (not isinstance(value, _PLAIN) and np.asarray(value).dtype.kind == "f")
        if not floating:
            return value
        array = np.asarray(value, self._dtype.as_numpy_dtype)
        return tf.constant(array) if array.ndim else array[()]  # some classes tell the dtype of tensors alone


def to_config(bijector: tfb.Bijector) -> dict[str, Any]:
    """A bijector as plain data: class names, numbers, and each variable with its value.

    Raises:
        TypeError: as `remade`.
    """
    variables: list[tf.Variable] = []

    def place(variable: tf.Variable) -> int:
        for i, known in enumerate(variables):
            if known is variable:
                return i
        variables.append(variable)
        return len(variables) - 1

    def encode(owner: Any, key: str, value: Any) -> Any:
        if isinstance(value, tfb.Bijector):
            inner = {k: encode(value, k, v) for k, v in _parameters(value).items()}
            return {"kind": "bijector", "of": public_class(value).__name__, "parameters": inner}
        if isinstance(value, _DEFERRED):
            given = encode(owner, key, value.pretransformed_input)
            return {"kind": "deferred", "value": given, "by": encode(owner, key, _transform(owner, key, value))}
        if isinstance(value, list | tuple):
            return {"kind": type(value).__name__, "parts": [encode(owner, key, part) for part in value]}
        if isinstance(value, tf.Variable):
            return {"kind": "variable", "place": place(value)}
        if isinstance(value, tf.DType):
            return {"kind": "dtype", "name": value.name}
        if isinstance(value, _PLAIN | float):
            return value
        if _is_leaf(value):
            array = np.asarray(value)
            return {"kind": "array", "dtype": array.dtype.name, "values": array.tolist()}
        raise _not_plain(owner, key, value)

    config = encode(bijector, "bijector", bijector)
    return config | {"variables": [_variable_config(variable) for variable in variables]}


def from_config(config: dict[str, Any]) -> tfb.Bijector:
    """The bijector of `to_config`; classes of `tfp.bijectors` alone are made.

    Raises:
        ValueError: for a class that is not there.
    """
    variables = [_variable(given) for given in config["variables"]]

    def decode(given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        kind = given["kind"]
        if kind == "bijector":
            found = getattr(tfb, given["of"], None)
            if not (inspect.isclass(found) and issubclass(found, tfb.Bijector)):
                expected = "the name of a class of tfp.bijectors"
                raise ValueError(explain("FromBijector", received=f"{given['of']!r} in a configuration", expected=expected))
            return found(**{k: decode(v) for k, v in given["parameters"].items()})
        if kind == "deferred":
            return _DEFERRED(decode(given["value"]), decode(given["by"]))
        if kind in ("list", "tuple"):
            parts = [decode(part) for part in given["parts"]]
            return tuple(parts) if kind == "tuple" else parts
        if kind == "variable":
            return variables[given["place"]]
        return tf.as_dtype(given["name"]) if kind == "dtype" else np.asarray(given["values"], given["dtype"])[()]

    return decode(config)


def public_class(bijector: tfb.Bijector) -> type:
    """The class of `tfp.bijectors` that makes such bijectors; TFP's own variants of it count as it.

    Raises:
        TypeError: for a bijector of another class.
    """
    kind = type(bijector)
    found = getattr(tfb, kind.__name__.removeprefix("_"), None)
    if found is None or getattr(found, "__module__", "") != kind.__module__:
        received, expected = f"a bijector of class {kind.__name__}", "one that a class of tfp.bijectors makes"
        raise TypeError(explain("FromBijector", received=received, expected=expected, remedy=_REMEDY))
    return found


def keras_networks(bijector: tfb.Bijector) -> list[keras.layers.Layer]:
    """Keras layers that are attributes of a bijector, or of one inside of it: TFP does not see their weights."""
    found: dict[int, keras.layers.Layer] = {}
    for module in (bijector, *bijector.submodules):
        for value in vars(module).values():
            parts = value if isinstance(value, list | tuple) else value.values() if isinstance(value, dict) else (value,)
            found |= {id(part): part for part in parts if isinstance(part, keras.layers.Layer)}
    return list(found.values())


def _parameters(bijector: tfb.Bijector) -> dict[str, Any]:
    made_by: Any = public_class(bijector)
    defaults = {k: p.default for k, p in inspect.signature(made_by.__init__).parameters.items()}
    return dict(_given(bijector.parameters, defaults))


def _given(parameters: dict[str, Any], defaults: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in parameters.items():
        if key in defaults and key != "parameters" and value is not defaults[key]:
            yield key, value


def _numbers(value: Any) -> bool:
    kinds = bool | int | float | np.generic
    return all(_numbers(part) if isinstance(part, list | tuple) else isinstance(part, kinds) for part in value)


def _is_leaf(value: Any) -> bool:
    if isinstance(value, _PLAIN | float | tf.Variable | tf.DType | np.generic):
        return True
    if isinstance(value, list | tuple):
        return _numbers(value)
    if tf.is_tensor(value):
        return isinstance(value, tf.Tensor) and hasattr(value, "numpy")
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiub"


def _transform(owner: Any, key: str, value: Any) -> tfb.Bijector:
    function = value.transform_fn
    found = getattr(function, "__self__", function)
    if not isinstance(found, tfb.Bijector) or getattr(function, "__name__", "forward") != "forward":
        raise _not_plain(owner, key, function)
    return found


def _variable_config(variable: tf.Variable) -> dict[str, Any]:
    array = variable.numpy()
    name = variable.name.split(":")[0]
    return {"dtype": array.dtype.name, "values": array.tolist(), "trainable": variable.trainable, "name": name}


def _variable(given: dict[str, Any]) -> tf.Variable:
    return tf.Variable(np.asarray(given["values"], given["dtype"]), trainable=given["trainable"], name=given["name"])


def _not_plain(owner: Any, key: str, value: Any) -> TypeError:
    received = f"{type(owner).__name__}({key}={type(value).__name__})"
    expected = "numbers, arrays, variables, dtypes and other bijectors"
    return TypeError(explain("FromBijector", received=received, expected=expected, remedy=_REMEDY))


_REMEDY = (
    "Such a bijector trains and is exported, and its weights are saved; to be copied, cast or written to a .keras file it has "
    "to be made again from its parameters. Write a subclass of inntf.Block for it."
)
