"""Small objects that blocks are made with (scales, transformers, splits, estimators): recorded, checked, saved, shown."""

from __future__ import annotations

from typing import Any

import keras

from inntf.core.arguments import bound_arguments, check_types

_PLAIN = (bool, int, float, str, list, tuple, type(None))


class Configured:
    """Records its constructor's arguments, so that a registered subclass needs no `get_config` to be saved.

    An argument is what the attribute of the same name says now, where that is plain data or another such object.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Configured:
        """Compare the arguments with their annotations, and record them."""
        made = super().__new__(cls)
        arguments = bound_arguments(cls, args, kwargs)
        check_types(cls, arguments, cls.__name__)
        made._recorded = arguments
        return made

    def _arguments(self) -> dict[str, Any]:
        now = {name: vars(self).get(name, value) for name, value in self._recorded.items()}
        return {k: v if isinstance(v, (*_PLAIN, Configured)) else self._recorded[k] for k, v in now.items()}

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, as plain data."""
        objects = {k: keras.saving.serialize_keras_object(v) for k, v in self._arguments().items() if isinstance(v, Configured)}
        return self._arguments() | objects

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The object of a `get_config()`."""
        return cls(**{k: keras.saving.deserialize_keras_object(v) if _serialized(v) else v for k, v in config.items()})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self._arguments().items())})"


def _serialized(value: Any) -> bool:
    return isinstance(value, dict) and "class_name" in value
