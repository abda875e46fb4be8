"""What an object was constructed with, by name."""

from __future__ import annotations

import inspect
from typing import Any


def bound_arguments(cls: type, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a constructor call by name, defaults included; a call that does not fit is left to fail in `__init__`."""
    signature = inspect.signature(cls.__init__)
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
    return out
