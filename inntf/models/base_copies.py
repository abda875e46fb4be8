"""Copies of a flow's base: TFP's distributions and bijectors are made again from their parameters, as TFP itself copies them.

`copy.deepcopy` and `pickle` make an object without arguments first, which many classes of TFP (`Independent`, `Sample`,
mixtures, multivariate normals) refuse.
"""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from inntf.core.errors import explain


def copied(base: tfd.Distribution | None, memo: dict[int, Any]) -> tfd.Distribution | None:
    """A base of its own variables.

    Args:
        base: the base, if any.
        memo: as in `copy.deepcopy`.

    Raises:
        TypeError: for one that cannot be copied.
    """
    try:
        return _copied(base, memo)
    except Exception as error:
        raise _refused(base, "copied", "__deepcopy__", error) from error


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    if id(value) in memo:
        return memo[id(value)]
    if _is_tfp(value):
        memo[id(value)] = new = _made(type(value), {k: _copied(v, memo) for k, v in value.parameters.items()})
        return new
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(_copied(part, memo) for part in value)
    if isinstance(value, dict):
        return {k: _copied(part, memo) for k, part in value.items()}
    if isinstance(value, tf.Module):  # a user's distribution, a transformed variable: TFP's objects in it first
        for part in value.submodules:
            if _is_tfp(part):
                _copied(part, memo)
    return copy.deepcopy(value, memo)


def pickled(base: tfd.Distribution | None) -> bytes | None:
    """A base as bytes, which `unpickled` reads.

    Raises:
        TypeError: for one that cannot be written.
    """
    if base is None:
        return None
    written = io.BytesIO()
    try:
        _Pickler(written).dump(base)
        pickle.loads(written.getvalue())  # some are written well and cannot be read
    except Exception as error:
        raise _refused(base, "pickled", "__reduce__", error) from error
    return written.getvalue()


def unpickled(flow: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    """The flow of these parameters, among them a base as bytes."""
    base = parameters["base"]
    return flow(**parameters | {"base": None if base is None else pickle.loads(base)})


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        return (_made, (type(obj), obj.parameters)) if _is_tfp(obj) else NotImplemented


def _is_tfp(value: Any) -> bool:
    return isinstance(value, tfd.Distribution | tfb.Bijector) and type(value).__module__.startswith("tensorflow_probability.")


def _made(kind: type, parameters: dict[str, Any]) -> Any:
    return kind(**parameters)


def _refused(base: Any, done: str, method: str, error: Exception) -> TypeError:
    return TypeError(
        explain(
            "Flow",
            received=f"a base of type {type(base).__name__} that cannot be {done} ({type(error).__name__}: {error})",
            expected="parameters of which it can be made again: numbers, variables, distributions, bijectors, blocks",
            remedy=f"Define {method} in its class; flow.copy() shares the base and the weights.",
        )
    )
