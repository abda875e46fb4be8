"""What an object was constructed with, by name, and whether it is what the signature says."""

from __future__ import annotations

import copy
import functools
import inspect
import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import keras
import numpy as np

from inntf.core.errors import explain

Limit = float  # in an annotation: a number that may be infinite, which is to say no limit
_F = TypeVar("_F", bound=Callable[..., Any])


def bound_arguments(cls: type, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a constructor call by name, defaults included; a call that does not fit is left to fail in `__init__`.

    Lists and dictionaries are copied: the caller's may change afterwards.
    """
    signature = _signature(cls.__init__)  # type: ignore[misc]
    try:
        bound = signature.bind(None, *args, **kwargs)
    except TypeError:
        return {}
    bound.apply_defaults()
    out: dict[str, Any] = {}
    for name, value in list(bound.arguments.items())[1:]:
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            out.update(value)
        elif kind is not inspect.Parameter.VAR_POSITIONAL:  # such as the `*args` of `object.__init__`
            out[name] = value
    return {name: copy.copy(value) if type(value) in (list, dict) else value for name, value in out.items()}


def unnamed_arguments(cls: type, args: tuple) -> bool:
    """Whether arguments of a constructor call have no names (`*args`), so that no configuration can hold them."""
    if not args or cls.__init__ is object.__init__:  # type: ignore[misc]
        return False
    kinds = [p.kind for p in _signature(cls.__init__).parameters.values()][1:]  # type: ignore[misc]
    named = sum(kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds)
    return inspect.Parameter.VAR_POSITIONAL in kinds and len(args) > named


def refuse_unnamed(subject: str) -> None:
    """Say of an object with `unnamed_arguments` that it cannot be saved or copied.

    Raises:
        TypeError: always.
    """
    raise TypeError(
        explain(
            subject,
            received="positional arguments without names (*args)",
            expected="named arguments, which can be saved and copied",
            remedy="Name them in __init__, or define get_config and from_config.",
        )
    )


def check_types(cls_or_function: Any, arguments: Mapping[str, Any], subject: str) -> None:
    """Compare arguments with their annotations: whole numbers, numbers, flags, words, shapes and optional ones of them.

    What an annotation says is held: a whole number is no fraction and no flag, a number is real and finite (a `Limit`
    may be infinite), so that nothing is cut off, taken for something else, or found later as a NaN.  Other annotations are not
    looked at, nor those of classes and functions outside of inntf.

    Args:
        cls_or_function: a function, or a class, whose `__init__` and those of its bases are asked.
        arguments: values by name.
        subject: name for the message.

    Raises:
        ValueError: for a number of the wrong kind; TypeError: for anything else.

    Source: inntf.

    Example:
        >>> def squeeze(factor: int): ...
        >>> squeeze.__module__ = "inntf.somewhere"
        >>> check_types(squeeze, {"factor": 2.5}, "squeeze")
        Traceback (most recent call last):
        ValueError: squeeze: received factor=2.5, expected a whole number.
    """
    annotations = _annotations(cls_or_function)
    for name, value in arguments.items():
        kinds = annotations.get(name, ())
        if not kinds or any(_KINDS[kind][0](value) for kind in kinds):
            continue
        wanted = " or ".join(_KINDS[kind][1] for kind in kinds)
        error = ValueError if isinstance(value, numbers.Number) else TypeError
        shown = repr(value) if isinstance(value, numbers.Number | str | list | tuple | type(None)) else type(value).__name__
        raise error(f"{subject}: received {name}={shown}, expected {wanted}.")


def checked_count(name: str, least: int = 1, **given: Any) -> None:
    """Refuse a count that is not an integer of at least `least`."""
    for argument, value in given.items():
        if not _whole(value) or value < least:
            raise ValueError(f"{name}: received {argument}={value!r}, expected an integer >= {least}.")


def typed(function: _F) -> _F:
    """A function, or an `__init__`, whose arguments are compared with their annotations before it runs: `check_types`."""
    signature = inspect.signature(function)
    method = next(iter(signature.parameters), "") == "self"

    @functools.wraps(function)
    def through(*args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            return function(*args, **kwargs)  # which says what is missing or unknown
        check_types(function, given, type(args[0]).__name__ if method else function.__name__)
        return function(*args, **kwargs)

    through.__signature__ = signature  # type: ignore[attr-defined]
    return through  # type: ignore[return-value]


@functools.lru_cache(4096)
def _signature(function: Any) -> inspect.Signature:
    return inspect.signature(function)


@functools.cache
def _annotations(cls_or_function: Any) -> dict[str, tuple[str, ...]]:
    functions = [cls_or_function]
    if isinstance(cls_or_function, type):
        functions = [cls.__init__ for cls in reversed(cls_or_function.__mro__)]  # type: ignore[misc]
    found: dict[str, tuple[str, ...]] = {}
    for function in functions:
        if (getattr(function, "__module__", None) or "").partition(".")[0] != "inntf":
            continue
        for name, annotation in getattr(function, "__annotations__", {}).items():
            kinds = tuple(annotation.replace(" ", "").split("|")) if isinstance(annotation, str) else ()
            found[name] = kinds if set(kinds) <= set(_KINDS) else ()
    return found


def _whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool | np.bool_)


def _real(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_) and math.isfinite(value)


def _infinite(value: Any) -> bool:
    return isinstance(value, numbers.Real) and float(value) == math.inf


def _several(value: Any, each: Callable[[Any], bool]) -> bool:
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__") or not hasattr(value, "__len__"):
        return False
    return getattr(value, "ndim", 1) == 1 and all(each(part) for part in value)


_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "int": (_whole, "a whole number"),
    "float": (_real, "a finite number"),
    "Limit": (lambda value: _real(value) or _infinite(value), "a number, or infinity"),
    "bool": (lambda value: isinstance(value, bool | np.bool_), "True or False"),
    "str": (lambda value: isinstance(value, str), "a word"),
    "keras.layers.Layer": (lambda value: isinstance(value, keras.layers.Layer), "a Keras layer"),
    "tuple[int,int]": (lambda value: _several(value, _whole) and len(value) == 2, "a pair of whole numbers"),
    "None": (lambda value: value is None, "None"),
    "Sequence[int]": (lambda value: _several(value, _whole), "a sequence of whole numbers"),
    "Shape": (
        lambda value: _several(value, lambda size: size is None or (_whole(size) and size >= 0)),
        "a shape (a tuple of sizes)",
    ),
}
