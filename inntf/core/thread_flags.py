"""Values that hold within a `with` statement, in its thread alone."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class ThreadFlag(Generic[_Value]):
    """What `with flag.set_to(value)` says, as `flag.value`; each thread begins with the default.

    Args:
        default: outside of every `with`.

    Source: inntf.

    Example:
        >>> loud = ThreadFlag(False)
        >>> with loud.set_to(True):
        ...     loud.value
        True
        >>> loud.value
        False
    """

    def __init__(self, default: _Value):
        self._default, self._local = default, threading.local()

    @property
    def value(self) -> _Value:
        """In force in this thread."""
        return getattr(self._local, "value", self._default)

    @contextlib.contextmanager
    def set_to(self, value: _Value) -> Iterator[None]:
        """Within it `value` is in force; what was before comes back, also after an error."""
        before = self.value
        self._local.value = value
        try:
            yield
        finally:
            self._local.value = before
