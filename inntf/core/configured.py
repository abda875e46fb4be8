"""Small objects that blocks are made with (scales, transformers, splits, estimators): recorded, checked, saved, shown."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from inntf.core.arguments import bound_arguments, refuse_unnamed, typed, unnamed_arguments
from inntf.core.configuration import deserialize


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
        object.__setattr__(made, "_recorded", bound_arguments(cls, args, kwargs))
        object.__setattr__(made, "_has_unnamed", unnamed_arguments(cls, args))
        return made

    def _arguments(self) -> dict[str, Any]:
        return {k: vars(self).get(k) if v is None else v for k, v in self._recorded.items()}

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, as plain data.

        Raises:
            TypeError: for a class that takes `*args`: they have no names.
        """
        if self._has_unnamed:
            refuse_unnamed(type(self).__name__)
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
