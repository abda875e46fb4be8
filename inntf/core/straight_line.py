"""Graphs for other runtimes: without loops, and of operations that they have."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

_local = threading.local()


@contextlib.contextmanager
def straight_line() -> Iterator[None]:
    """Within it loops of a known length are traced as so many steps, and operations give way to equal ones that others know.

    Source: inntf.

    Example:
        >>> with straight_line():
        ...     is_straight_line()
        True
    """
    before = is_straight_line()
    _local.on = True
    try:
        yield
    finally:
        _local.on = before


def is_straight_line() -> bool:
    """Whether `straight_line` is in force in this thread.

    Source: inntf.

    Example:
        >>> is_straight_line()
        False
    """
    return getattr(_local, "on", False)
