"""Whether what a block refuses raises, or is marked: a measurement must count the samples that break, not end at the first."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

_local = threading.local()


@contextlib.contextmanager
def marked_refusals() -> Iterator[None]:
    """Within it a sample that a block would refuse by raising comes back as NaN, as under XLA, where assertions are dropped.

    That is an inverse that does not reach its tolerance, a solver that does not finish, a number off the grid or out of
    range, and a value that `validate_args` refuses.

    Source: inntf.

    Example:
        >>> with marked_refusals():
        ...     refusals_are_marked()
        True
    """
    before = refusals_are_marked()
    _local.marked = True
    try:
        yield
    finally:
        _local.marked = before


def refusals_are_marked() -> bool:
    """Whether `marked_refusals` is in force in this thread.

    Source: inntf.

    Example:
        >>> refusals_are_marked()
        False
    """
    return getattr(_local, "marked", False)
