"""What happens far below a call, told to whoever asked for it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any


class Notes(threading.local):
    """A list per thread that is there while someone asks for it; `asked` tells whether someone does."""

    def __init__(self) -> None:
        self._noted: list[Any] | None = None

    @property
    def asked(self) -> bool:
        """Whether this thread is inside of `noting`."""
        return self._noted is not None

    @contextlib.contextmanager
    def noting(self) -> Iterator[list[Any]]:
        """Within it `note` adds to the list that it gives."""
        before, self._noted = self._noted, []
        try:
            yield self._noted
        finally:
            self._noted = before

    def note(self, value: Any) -> None:
        """Add a value, if someone asked."""
        if self._noted is not None:
            self._noted.append(value)
