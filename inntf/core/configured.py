"""Small objects that blocks are made with (scales, transformers, splits, estimators): recorded, checked, saved, shown."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np

from inntf.core.arguments import bound_arguments, typed
from inntf.core.configuration import deserialize
from inntf.core.errors import explain


class Configured:
    """Records its constructor's arguments, so that a registered subclass needs no `get_config` to be saved.

    An argument left at `None` is what the attribute of the same name has become.
    """

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__ and cls.__module__.partition(".")[0] == "inntf":
            cls.__init__ = typed(cls.__init__)  # type: ignore[method-assign]  # users' own constructors take what they like

    def __new__(cls, *args: Any, **kwargs: Any) -> Configured:
        """Record the arguments."""
        made = super().__new__(cls)
        kinds = [p.kind for p in inspect.signature(cls.__init__).parameters.values()]
        object.__setattr__(made, "_recorded", bound_arguments(cls, args, kwargs))
        unnamed = bool(args) and cls.__init__ is not object.__init__ and inspect.Parameter.VAR_POSITIONAL in kinds
        object.__setattr__(made, "_has_unnamed", unnamed)
        return made

    def _arguments(self) -> dict[str, Any]:
        return {k: vars(self).get(k) if v is None else v for k, v in self._recorded.items()}

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, as plain data.

        Raises:
            TypeError: for a class that takes `*args`: they have no names.
        """
        if self._has_unnamed:
            raise TypeError(
                explain(
                    type(self).__name__,
                    received="positional arguments without names (*args)",
                    expected="named arguments, which can be saved",
                    remedy="Name them in __init__, or define get_config and from_config.",
                )
            )
        return {k: _plain(v) for k, v in self._arguments().items()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The object of a `get_config()`."""
        return cls(**deserialize(config))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self._arguments().items())})"


def _plain(value: Any) -> Any:
    if isinstance(value, Configured):
        return keras.saving.serialize_keras_object(value)
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
