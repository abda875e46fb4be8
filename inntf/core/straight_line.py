"""Graphs for other runtimes: without loops, and of operations that they have."""

from __future__ import annotations

import contextlib

from inntf.core.thread_flags import ThreadFlag

_on = ThreadFlag(False)


def straight_line() -> contextlib.AbstractContextManager[None]:
    """Within it loops of a known length are traced as so many steps, and operations give way to equal ones that others know.

    Source: inntf.

    Example:
        >>> with straight_line():
        ...     is_straight_line()
        True
    """
    return _on.set_to(True)


def is_straight_line() -> bool:
    """Whether `straight_line` is in force in this thread.

    Source: inntf.

    Example:
        >>> is_straight_line()
        False
    """
    return _on.value
