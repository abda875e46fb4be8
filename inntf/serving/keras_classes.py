"""Which classes a Keras configuration names, and whether they are ones that a stranger's file may ask for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

PACKAGE = "inntf"

_PUBLIC = (
    "keras",
    "keras.layers",
    "keras.models",
    "keras.optimizers",
    "keras.optimizers.schedules",
    "keras.losses",
    "keras.metrics",
    "keras.initializers",
    "keras.regularizers",
    "keras.constraints",
    "keras.random",
    "keras.dtype_policies",
)
_KINDS = (
    keras.Layer,
    keras.optimizers.Optimizer,
    keras.optimizers.schedules.LearningRateSchedule,
    keras.losses.Loss,
    keras.metrics.Metric,
    keras.initializers.Initializer,
    keras.regularizers.Regularizer,
    keras.constraints.Constraint,
    keras.random.SeedGenerator,
    keras.DTypePolicy,
)
_FUNCTIONS = (keras.activations, keras.losses, keras.metrics, keras.initializers, keras.regularizers, keras.constraints)
# They run code from the file, load other files, or read a file named in the configuration.
_CODE = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "FlaxLayer", "JaxLayer")
_LOOKUPS = ("StringLookup", "IntegerLookup", "IndexLookup", "TextVectorization")
_REACHING_OUT = frozenset((*_CODE, *_LOOKUPS, "MetricFnWrapper", "MeanMetricWrapper"))
_PLAIN = frozenset(("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"))
_DEEPEST = 200


def fault_of_config(config: Any, classes: Sequence[type] = ()) -> str | None:
    """What a configuration asks for that it may not, in words; `None` if nothing.

    Allowed are the classes and functions that inntf registers, Keras' own layers, optimizers, losses, metrics, initializers,
    regularizers, constraints and mathematical operations by their public names, but for those that run code or read files
    (`Lambda`, `TFSMLayer`, lookups), and the `classes` that the caller names.

    Args:
        config: a configuration as JSON gives it.
        classes: further classes.

    Example:
        >>> fault_of_config({"module": "os", "class_name": "system", "config": "true", "registered_name": None})
        'os.system'
    """
    try:
        return next(_faults(config, tuple(classes), 0), None)
    except RecursionError:
        return f"a configuration nested more than {_DEEPEST} deep"


def _faults(node: Any, classes: tuple[type, ...], depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise RecursionError
    if isinstance(node, dict):
        if "class_name" in node:
            fault = _fault(node, classes)
            if fault is not None:
                yield fault
        for value in node.values():
            yield from _faults(value, classes, depth + 1)
    elif isinstance(node, list):
        for value in node:
            yield from _faults(value, classes, depth + 1)
    elif isinstance(node, str):
        found = keras.saving.get_custom_objects().get(node)
        if found is not None and not _is_ours(node, found, classes):
            yield f"{node}, which somebody else has registered"


def _fault(node: dict[str, Any], classes: tuple[type, ...]) -> str | None:
    name, module, registered = node["class_name"], node.get("module"), node.get("registered_name")
    shown = ".".join(str(part)[:80] for part in (module, name) if part)
    if not isinstance(name, str) or not isinstance(module, str | None) or not isinstance(registered, str | None):
        return f"{shown}, which is no name"
    if name in _PLAIN:
        return _fault_of_numbers(node.get("config"), shown) if name in ("__tensor__", "__numpy__") else None
    if name == "function":
        return _fault_of_function(node)
    found = keras.saving.get_registered_object(registered) if registered else None
    if registered and found is not None:
        return None if _is_ours(registered, found, classes) else f"{registered}, which somebody else has registered"
    if name in _REACHING_OUT:
        return f"{shown}, which runs code or reads files"
    if module in _PUBLIC:
        stock = getattr(_module(module), name, None)
        return None if isinstance(stock, type) and issubclass(stock, _KINDS) else shown
    if module is not None and module.startswith("keras.src."):
        stock = getattr(_module(module), name, None)
        return None if isinstance(stock, type) and issubclass(stock, (*_KINDS, keras.Operation)) else shown
    return shown


def _fault_of_function(node: dict[str, Any]) -> str | None:
    name, registered = node.get("config"), node.get("registered_name")
    shown = f"the function {str(name)[:80]}"
    if not isinstance(name, str):
        return shown
    found = keras.saving.get_registered_object(registered) if registered and registered != "function" else None
    if registered and found is not None:
        return None if _is_ours(registered, found, ()) else f"{registered}, which somebody else has registered"
    if node.get("module") != "builtins":
        return f"{shown} of {str(node.get('module'))[:80]}"
    return None if any(callable(getattr(module, name, None)) for module in _FUNCTIONS) and name.islower() else shown


def _fault_of_numbers(config: Any, shown: str) -> str | None:
    dtype = config.get("dtype") if isinstance(config, dict) else None
    try:
        kind = np.dtype(dtype).kind if isinstance(dtype, str) else None
    except TypeError:
        kind = "f" if dtype == "bfloat16" else None
    return None if kind is not None and kind in "fiub" else f"{shown} of dtype {str(dtype)[:80]}"


def _is_ours(name: str, found: Any, classes: tuple[type, ...]) -> bool:
    module = getattr(found, "__module__", "") or ""
    return found in classes or (name.startswith(f"{PACKAGE}>") and module.split(".")[0] == PACKAGE)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception:  # whatever a module of Keras for another backend, or a name that is none, raises
        return None
